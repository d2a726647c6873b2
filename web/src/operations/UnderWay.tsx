/** Runs that have not ended, the oldest first; one that says nothing for long stands out. */

import type { Report, RunUnderWay } from "../api/statistics";
import { href } from "../routes";
import { duration, usd } from "../ui/format";
import { StateBadge } from "../ui/StateBadge";
import { Figures } from "./Figures";

/** Silent for so long, in seconds, a running run is worth a look: an owner is replaced within twelve. */
const SILENT_S = 30;

export function UnderWay({ report }: { report: Report }) {
  const { accepted, running, waiting, runs } = report.under_way;
  const all = accepted + running + waiting;
  const silent = (run: RunUnderWay) => (run.last_event_at === null ? null : Math.max(0, report.at - run.last_event_at));
  return (
    <Figures
      title="Under way"
      about={all > runs.length ? `The oldest ${runs.length} of ${all}.` : undefined}
      rows={runs}
      name={(run) => run.run_id}
      empty="No run is under way."
      columns={[
        {
          head: "Run",
          cell: (run) => (
            <a className="run-link" href={href({ view: "run", run: run.run_id })}>
              {run.question ?? `a run of ${run.tenant_id}`}
            </a>
          ),
        },
        { head: "State", cell: (run) => <StateBadge state={run.state} /> },
        { head: "Age", number: true, cell: (run) => duration(Math.max(0, report.at - run.created_at)) },
        {
          head: "Silent",
          number: true,
          cell: (run) => {
            const quiet = silent(run);
            return quiet === null ? "?" : <span className={quiet > SILENT_S && run.state === "running" ? "warn" : undefined}>{duration(quiet)}</span>;
          },
        },
        { head: "Steps", number: true, cell: (run) => `${run.stages_ended} / ${run.stages_begun}` },
        { head: "Takeovers", number: true, cell: (run) => run.takeovers },
        { head: "Cost", number: true, cell: (run) => usd(run.cost_usd) },
      ]}
    />
  );
}
