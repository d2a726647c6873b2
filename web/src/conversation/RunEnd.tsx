/** How a run ended when it ended without an answer, and how to go on. */

import { RotateCcw } from "lucide-react";
import { Button } from "react-aria-components";

import * as api from "../api/headrace";
import type { RunView } from "../headrace";
import { go } from "../routes";
import { Notice } from "../ui/Notice";
import { useActing } from "./acting";
import { useAction } from "./useAction";
import { useLoaded } from "./useLoaded";

export function RunEnd({ view }: { view: RunView }) {
  if (view.state === "completed") return null;
  const words = view.state === "cancelled" ? cancelled(view) : (view.error?.message ?? "The run failed.");
  return (
    <section className="run-end stack" aria-label="How it ended">
      <Notice kind={view.state === "cancelled" ? "info" : "bad"}>
        <p>
          <strong>{view.state === "cancelled" ? "Cancelled." : view.state === "expired" ? "Out of time." : "It did not work."}</strong> {words}
        </p>
        {view.error && <p className="tiny muted">{`${view.error.code}, in the ${view.error.layer}`}</p>}
      </Notice>
      {useActing() && <Resume view={view} />}
    </section>
  );
}

function Resume({ view }: { view: RunView }) {
  const { value } = useLoaded(() => api.snapshot(view.run_id), [view.run_id, view.state]);
  const { busy, problem, act } = useAction();
  const resume = value?.resume;
  if (!resume) return null;
  const on = () =>
    act(async () => {
      const accepted = await api.resume(view.run_id);
      const conversation = accepted.conversation_id ?? view.conversation_id;
      if (conversation) go({ view: "conversation", conversation, run: accepted.run_id });
    });
  return (
    <div className="stack">
      {resume.possible && (
        <div className="row row-wrap">
          <Button className="button button-primary" isDisabled={busy} onPress={() => void on()}>
            <RotateCcw size={16} aria-hidden /> Resume
          </Button>
          <span className="small muted grow">{kept(view)}</span>
        </div>
      )}
      {!resume.possible && <p className="small muted">{resume.how}</p>}
      {problem && <Notice kind="bad">{problem}</Notice>}
    </div>
  );
}

function kept(view: RunView): string {
  const done = view.stages.filter((stage) => stage.status === "completed").length;
  if (done === 0) return "A new run begins with the same question.";
  return `A new run keeps the ${done === 1 ? "completed step" : `${done} completed steps`} and does the rest again.`;
}

function cancelled(view: RunView): string {
  if (view.cancel_by === "user") return "What was completed stays.";
  return view.cancel_reason ? `Why: ${view.cancel_reason}. What was completed stays.` : "What was completed stays.";
}
