/** The plan as a checklist, and as a picture of what waits for what. */

import { Ban, Check, Circle, CircleDashed, LoaderCircle, TriangleAlert } from "lucide-react";

import type { RunView, StageStatus, StageView } from "../headrace";
import { plural } from "../ui/format";
import { PlanGraph } from "./PlanGraph";

const WORDS: Record<StageStatus, string> = {
  pending: "waiting",
  dispatched: "starting",
  running: "running",
  completed: "done",
  failed: "failed",
  skipped: "skipped",
};

export function PlanCard({ view }: { view: RunView }) {
  const number = new Map(view.stages.map((stage, place) => [stage.id, place + 1]));
  const ended = view.stages.filter((stage) => ["completed", "failed", "skipped"].includes(stage.status)).length;
  const revised = view.planned?.revisions.at(-1);
  return (
    <section className="card plan" aria-label="Plan">
      <div className="plan-head">
        <h3>Plan</h3>
        <span className="tiny muted tabular">
          {ended} of {view.stages.length}
        </span>
        <progress className="plan-progress grow" max={view.stages.length} value={ended} aria-label="Steps done" />
      </div>
      {revised && <p className="tiny muted">Revised: {revised.reason}</p>}
      <div className="plan-body">
        <ol className="checklist">
          {view.stages.map((stage) => (
            <li key={stage.id} className={`check check-${stage.status}`}>
              <StatusIcon status={stage.status} />
              <span className="check-number tabular">{number.get(stage.id)}</span>
              <span className="grow">
                <span className="check-title">{stage.title}</span>
                <span className="tiny muted check-facts">{facts(stage, number)}</span>
              </span>
            </li>
          ))}
        </ol>
        {view.stages.length > 1 && <PlanGraph stages={view.stages} />}
      </div>
    </section>
  );
}

function facts(stage: StageView, number: ReadonlyMap<string, number>): string {
  const said = [stage.agent];
  const after = stage.depends_on.map((id) => number.get(id)).filter((n) => n !== undefined);
  if (after.length > 0) said.push(`after ${after.join(", ")}`);
  if (stage.status === "running" && stage.calls.length > 0) said.push(`${plural(stage.calls.length, "tool call")} so far`);
  if (stage.carried_from) said.push("carried over");
  if (stage.partial) said.push("partial");
  if (stage.skipped) said.push(stage.skipped);
  if (stage.failures > 0 && stage.status !== "failed") said.push(plural(stage.failures, "failed try", "failed tries"));
  return said.join(" · ");
}

export function StatusIcon({ status }: { status: StageStatus }) {
  const props = { size: 17, "aria-label": WORDS[status], role: "img" } as const;
  switch (status) {
    case "pending":
      return <Circle {...props} className="faint" />;
    case "dispatched":
      return <CircleDashed {...props} className="live" />;
    case "running":
      return <LoaderCircle {...props} className="live spin" />;
    case "completed":
      return <Check {...props} className="good" strokeWidth={2.6} />;
    case "failed":
      return <TriangleAlert {...props} className="bad" />;
    case "skipped":
      return <Ban {...props} className="faint" />;
  }
}
