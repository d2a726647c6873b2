import type { RunView } from "../headrace";
import { openApprovals } from "../headrace";
import { plural } from "../ui/format";

/** Where the run stands, in one short sentence that changes only when something has been reached. */
export function milestone(view: RunView): string {
  if (view.state === "completed") return view.stopped ? `Stopped: ${view.stopped}` : "The answer is complete.";
  if (view.state === "failed" || view.state === "expired") return `The run has ended: ${view.error?.message ?? "it failed"}`;
  if (view.state === "cancelled") return "The run was cancelled.";
  const asked = openApprovals(view)[0];
  if (asked) return `Your answer is needed: ${asked.what}`;
  if (view.state === "waiting") return `Waiting: ${view.waiting_for ?? ""}`;
  if (view.cancel_requested) return "Cancelling …";
  if (view.last_seq === 0) return "Connecting …";
  if (view.stages.length === 0) return view.agents.length === 0 ? "Starting …" : "Planning …";
  const ended = view.stages.filter((stage) => ["completed", "failed", "skipped"].includes(stage.status)).length;
  const now = view.stages.filter((stage) => stage.status === "running");
  if (ended === 0 && now.length === 0) return `The plan has ${plural(view.stages.length, "step")}.`;
  const names = now.map((stage) => stage.title).join(", ");
  return `${ended} of ${plural(view.stages.length, "step")} done${names ? `. Now: ${names}` : ""}`;
}
