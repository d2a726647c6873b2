/** The run view: for now the run as the conversation shows it, on a page of its own. */

import { Run } from "../conversation/Run";

export default function RunView({ run }: { run: string }) {
  return (
    <div className="column exchanges">
      <Run runId={run} question="" onTitle={nothing} onChange={nothing} />
    </div>
  );
}

const nothing = () => undefined;
