/** A new run that goes on from a step of this one: what came before is kept, the step and what builds on it is done again. */

import { GitFork } from "lucide-react";
import { useState } from "react";
import { Button } from "react-aria-components";

import * as api from "../api/headrace";
import { useAction } from "../conversation/useAction";
import { isOver, type RunView } from "../headrace";
import { go } from "../routes";
import { Notice } from "../ui/Notice";

export function Fork({ view }: { view: RunView }) {
  const { busy, problem, act } = useAction();
  const [stage, setStage] = useState<string | null>(null);
  const first = view.stages[0];
  if (!first) return null;
  const chosen = view.stages.some((one) => one.id === stage) ? (stage ?? first.id) : first.id;
  const over = isOver(view);
  const fork = () =>
    act(async () => {
      const made = await api.resume(view.run_id, { from_stage: chosen });
      go({ view: "run", run: made.run_id });
    });
  return (
    <div className="fork">
      <div className="row">
        <label className="choice choice-row tiny">
          <span className="muted nowrap">Again from</span>
          <select className="input" value={chosen} disabled={!over} onChange={(event) => setStage(event.target.value)}>
            {view.stages.map((one, n) => (
              <option key={one.id} value={one.id}>
                {n + 1}. {one.title}
              </option>
            ))}
          </select>
        </label>
        <Button className="button button-small" isDisabled={busy || !over} onPress={() => void fork()}>
          <GitFork size={15} aria-hidden /> Fork
        </Button>
      </div>
      {!over && <p className="tiny muted">A run can be forked once it is over.</p>}
      {problem && <Notice kind="bad">{problem}</Notice>}
    </div>
  );
}
