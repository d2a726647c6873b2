/** How it goes: what is under way, how runs end, how long things take, what they cost. For whoever runs the system. */

import { useEffect, useState } from "react";
import { Button } from "react-aria-components";

import type { Report } from "../api/statistics";
import { count, duration, moment, plural, usd } from "../ui/format";
import { Notice } from "../ui/Notice";
import { Newest } from "./Newest";
import "../ui/figures.css";
import "./operations.css";
import { OutcomeChart } from "./OutcomeChart";
import { PARTS } from "./outcomes";
import { Agents, Conversations, Days, Durations, Errors, Models, percent, Recovery, Tenants, Tools } from "./Tables";
import { UnderWay } from "./UnderWay";
import { useReport } from "./useReport";

const WINDOWS = [
  { hours: 1, words: "1 hour" },
  { hours: 6, words: "6 hours" },
  { hours: 24, words: "1 day" },
  { hours: 168, words: "7 days" },
] as const;

export default function OperationsView() {
  const [hours, setHours] = useState<number>(24);
  const { report, problem } = useReport(hours);
  useEffect(() => {
    document.title = "Operations · Headrace";
  }, []);
  return (
    <div className="operations">
      <header className="operations-head">
        <div className="grow">
          <h1>Operations</h1>
          <p className="tiny muted">{report ? `${whose(report)}, as of ${moment(report.at)}` : "Looking at the runs …"}</p>
        </div>
        <div className="segments" role="group" aria-label="How far to look back">
          {WINDOWS.map((window) => (
            <Button key={window.hours} className="segment" aria-pressed={hours === window.hours} onPress={() => setHours(window.hours)}>
              {window.words}
            </Button>
          ))}
        </div>
      </header>
      {problem && <Notice kind="bad">{problem} It is asked for again every ten seconds.</Notice>}
      {report && !report.complete && <Notice kind="warn">Only the newest {report.runs} runs are counted; there were more. Look back less far.</Notice>}
      {report && <Whole report={report} />}
      {!report && !problem && <div className="skeleton operations-skeleton" role="status" aria-label="Loading" />}
    </div>
  );
}

function Whole({ report }: { report: Report }) {
  return (
    <>
      <Tiles report={report} />
      <section className="card figures" aria-label="Outcomes">
        <div className="row row-wrap">
          <h2 className="grow">Outcomes</h2>
          <ul className="legend tiny muted" aria-hidden>
            {PARTS.map((part) => (
              <li key={part.name} className={`legend-${part.name}`}>
                {report.outcomes[part.name]} {part.words}
              </li>
            ))}
          </ul>
        </div>
        <OutcomeChart report={report} />
      </section>
      <UnderWay report={report} />
      <div className="operations-columns">
        <Errors report={report} />
        <Recovery report={report} />
        <Durations report={report} />
        <Tools report={report} />
        <Models report={report} />
        <Agents report={report} />
        <Tenants report={report} />
        <Days report={report} />
        <Conversations report={report} />
      </div>
      <Newest at={report.at} />
    </>
  );
}

function Tiles({ report }: { report: Report }) {
  const { under_way, outcomes, rates, durations, total, recovery } = report;
  const all = under_way.accepted + under_way.running + under_way.waiting;
  const wrong = outcomes.failed + outcomes.expired;
  const saved = recovery.runs.find((rate) => rate.kind === "any");
  const tokens = total.input_tokens + total.cache_read_tokens + total.cache_write_tokens + total.output_tokens;
  return (
    <dl className="tiles">
      <Tile name="Under way" value={String(all)} more={`${under_way.running} running, ${under_way.waiting} waiting`} />
      <Tile name="Completed" value={percent(rates.completion)} more={`${outcomes.completed} of ${plural(report.runs, "run")}${outcomes.stopped > 0 ? `, ${outcomes.stopped} stopped` : ""}`} />
      <Tile name="In error" value={percent(rates.error)} more={`${wrong} failed or out of time`} tone={wrong > 0 ? "bad" : undefined} />
      <Tile name="Saved by recovery" value={saved ? `${saved.completed} of ${saved.met}` : "–"} more={saved ? `${percent(saved.share)} of all that ended` : "nothing had to be"} />
      <Tile name="A run takes" value={durations.runs ? duration(durations.runs.p50_s) : "–"} more={durations.first_token ? `first token after ${duration(durations.first_token.p50_s)}` : ""} />
      <Tile name="Cost" value={usd(total.cost_usd)} more={`${count(tokens)} tokens`} />
    </dl>
  );
}

function Tile({ name, value, more, tone }: { name: string; value: string; more: string; tone?: "bad" }) {
  return (
    <div className="card tile">
      <dt className="tiny muted">{name}</dt>
      <dd>
        <span className={`tile-value tabular ${tone ?? ""}`}>{value}</span>
        <span className="tiny muted">{more}</span>
      </dd>
    </div>
  );
}

function whose(report: Report): string {
  const runs = `${plural(report.runs, "run")} accepted within ${duration(report.at - report.since).replace(" 0 min", "")}`;
  return report.scope === "all" ? `${runs}, of all tenants` : runs;
}
