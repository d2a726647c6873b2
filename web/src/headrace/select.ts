/** What can be worked out of a view: nothing that the fold has to keep. */
import type { ApprovalView, CallView, CitationView, Lane, RunView, TurnView } from "./state";

/** What a stage or a planning agent itself says so far: its turns' texts joined by blank lines, delegates left out. */
export function textOf(lane: Lane): string {
  const own = lane.turns.filter((t) => t.call === null && t.purpose === "answer").map((t) => t.text.replace(/^\n+|\n+$/g, ""));
  return own.filter((text) => text !== "").join("\n\n");
}

/** What people have still to answer. */
export function openApprovals(view: RunView): readonly ApprovalView[] {
  return view.approvals.filter((approval) => approval.open);
}

/** The turns of the work that a call delegates. */
export function turnsOf(lane: Lane, call: CallView): readonly TurnView[] {
  return lane.turns.filter((turn) => turn.call === call.path);
}

/** The calls made in the work that a call delegates. */
export function callsOf(lane: Lane, call: CallView): readonly CallView[] {
  return lane.calls.filter((other) => other.call === call.path);
}

/** The results of the completed stages, as in the snapshot. */
export function outputs(view: RunView): readonly Output[] {
  return view.stages.flatMap(({ id, title, agent, output, partial, carried_from, citations }) =>
    output === null ? [] : [{ stage: id, title, agent, text: output, partial, carried_from, citations }],
  );
}

export interface Output {
  readonly stage: string;
  readonly title: string;
  readonly agent: string;
  readonly text: string;
  readonly partial: boolean;
  readonly carried_from: string | null;
  readonly citations: readonly CitationView[];
}

/** Whether nothing more will come. */
export function isOver(view: RunView): boolean {
  return view.ended_at !== null;
}

/** How long it has taken so far, in seconds. */
export function elapsed(view: RunView, now: number): number {
  return view.created_at === 0 ? 0 : Math.max(0, (view.ended_at ?? now) - view.created_at);
}
