/** The newest runs of one's own, ended or not: the way to the run view. */

import * as api from "../api/headrace";
import { useLoaded } from "../conversation/useLoaded";
import { href } from "../routes";
import { when } from "../ui/format";
import { Notice } from "../ui/Notice";
import { StateBadge } from "../ui/StateBadge";
import { useEffect } from "react";
import { Figures } from "./Figures";

/** Loaded again with each report, which `at` tells. */
export function Newest({ at }: { at: number }) {
  const { value, problem, again } = useLoaded(() => api.runs(25), []);
  useEffect(again, [at, again]);
  if (problem) return <Notice kind="bad">{problem.message}</Notice>;
  return (
    <Figures
      title="Newest runs"
      rows={value?.runs ?? []}
      name={(run) => run.run_id}
      empty="Nobody has asked anything yet."
      columns={[
        {
          head: "Question",
          cell: (run) => (
            <a className="run-link" href={href({ view: "run", run: run.run_id })}>
              {run.question}
            </a>
          ),
        },
        { head: "State", cell: (run) => <StateBadge state={run.state} /> },
        { head: "Asked", number: true, cell: (run) => when(run.created_at) },
      ]}
    />
  );
}
