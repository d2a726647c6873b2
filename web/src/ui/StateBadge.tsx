import type { Status } from "../headrace/events";

const WORDS: Record<Status, string> = {
  accepted: "Starting",
  running: "Running",
  waiting: "Waiting for you",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
  expired: "Out of time",
};

const TONE: Record<Status, string> = {
  accepted: "badge-live",
  running: "badge-live",
  waiting: "badge-warn",
  completed: "badge-good",
  failed: "badge-bad",
  cancelled: "",
  expired: "badge-bad",
};

export function stateWords(state: Status): string {
  return WORDS[state] ?? state;
}

export function StateBadge({ state }: { state: Status }) {
  return <span className={`badge ${TONE[state] ?? ""}`}>{stateWords(state)}</span>;
}

/** Whether nothing more will come of a run in this state. */
export function isEnded(state: Status): boolean {
  return state === "completed" || state === "failed" || state === "cancelled" || state === "expired";
}
