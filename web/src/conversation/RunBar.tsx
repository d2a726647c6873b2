/** The line over a run: where it stands, how long, how much; and its buttons. */

import { ChartGantt, CircleStop, WifiOff } from "lucide-react";
import { useEffect, useState } from "react";
import { Button } from "react-aria-components";

import * as api from "../api/headrace";
import type { Connection, RunView } from "../headrace";
import { elapsed, isOver } from "../headrace";
import { href, useRoute } from "../routes";
import { count, duration, usd } from "../ui/format";
import { Notice } from "../ui/Notice";
import { StateBadge } from "../ui/StateBadge";
import { useActing } from "./acting";
import { milestone } from "./milestone";
import { useAction } from "./useAction";

export function RunBar({ view, connection }: { view: RunView; connection: Connection }) {
  const { busy, problem, act } = useAction();
  const acting = useActing();
  const here = useRoute().view === "run";
  const over = isOver(view);
  return (
    <div className="run-head">
      <div className="run-bar">
        <StateBadge state={view.state} />
        {!over && <span className="small muted truncate grow run-milestone">{milestone(view)}</span>}
        {over && <span className="grow" />}
        <Facts view={view} />
        {!here && (
          <a className="button button-quiet button-small" href={href({ view: "run", run: view.run_id })}>
            <ChartGantt size={15} aria-hidden /> <span>Run view</span>
          </a>
        )}
        {!over && acting && (
          <Button
            className="button button-small"
            isDisabled={busy || view.cancel_requested}
            onPress={() => void act(() => api.cancel(view.run_id))}
          >
            <CircleStop size={15} aria-hidden /> {view.cancel_requested ? "Cancelling" : "Cancel"}
          </Button>
        )}
      </div>
      {!over && acting && <Link connection={connection} />}
      {problem && <Notice kind="bad">{problem}</Notice>}
    </div>
  );
}

function Facts({ view }: { view: RunView }) {
  const acting = useActing();
  const live = useNow(acting && !isOver(view));
  const now = acting ? live : view.last_at;
  const { input_tokens, output_tokens, cost_usd } = view.usage;
  const limit = view.budget.limit_usd;
  const spent = limit === null ? usd(cost_usd) : `${usd(view.budget.spent_usd)} of ${usd(limit)}`;
  const held = view.budget.reserved_usd > 0 ? `; ${usd(view.budget.reserved_usd)} held back for calls under way` : "";
  return (
    <dl className="facts tiny tabular">
      <div title="Time">
        <dt className="visually-hidden">Time</dt>
        <dd>{duration(elapsed(view, now))}</dd>
      </div>
      <div title={`${input_tokens} tokens read, ${output_tokens} written`}>
        <dt className="visually-hidden">Tokens</dt>
        <dd>
          {count(input_tokens)} in, {count(output_tokens)} out
        </dd>
      </div>
      <div title={`Cost${held}`}>
        <dt className="visually-hidden">Cost</dt>
        <dd>{spent}</dd>
      </div>
    </dl>
  );
}

function Link({ connection }: { connection: Connection }) {
  if (connection.state !== "waiting" && !(connection.state === "connecting" && connection.attempt > 1)) return null;
  return (
    <p className="notice notice-warn reconnecting" role="status">
      <WifiOff size={16} aria-hidden />
      <span>Connection lost, reconnecting … The run goes on meanwhile, and nothing of it is lost.</span>
    </p>
  );
}

/** Seconds since the epoch, twice a second while `ticking`. */
function useNow(ticking: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!ticking) return undefined;
    const timer = setInterval(() => setNow(Date.now() / 1000), 500);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}
