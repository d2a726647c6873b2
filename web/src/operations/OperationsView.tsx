/** The operations view: for now the newest runs. */

import * as api from "../api/headrace";
import { useLoaded } from "../conversation/useLoaded";
import { href } from "../routes";
import { when } from "../ui/format";
import { Notice } from "../ui/Notice";
import { StateBadge } from "../ui/StateBadge";

export default function OperationsView() {
  const { value, problem } = useLoaded(() => api.runs(50), []);
  return (
    <div className="column exchanges">
      <h1>Runs</h1>
      {problem && <Notice kind="bad">{problem.message}</Notice>}
      <ul>
        {value?.runs.map((run) => (
          <li key={run.run_id} className="row">
            <a className="truncate grow" href={href({ view: "run", run: run.run_id })}>
              {run.question}
            </a>
            <StateBadge state={run.state} />
            <span className="tiny muted">{when(run.created_at)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
