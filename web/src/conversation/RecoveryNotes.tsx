import { RefreshCw } from "lucide-react";

import type { RecoveryView, RunView } from "../headrace";
import { duration } from "../ui/format";

/** What went wrong and was mended by itself, as small notes: of one step, or of planning (`null`) and of lost processes. */
export function RecoveryNotes({ view, stage }: { view: RunView; stage: string | null }) {
  const notes = view.recovery_log.filter((recovery) => recovery.stage === stage).map((recovery) => ({ key: recovery.seq, words: words(recovery) }));
  const takeovers = stage === null ? view.owners.slice(1).map((owner) => ({ key: -owner.epoch, words: "Another process took the run over and goes on." })) : [];
  if (notes.length + takeovers.length === 0) return null;
  return (
    <ul className="recoveries tiny" aria-label="Recoveries">
      {[...takeovers, ...notes].map((note) => (
        <li key={note.key}>
          <RefreshCw size={12} aria-hidden /> {note.words}
        </li>
      ))}
    </ul>
  );
}

function words({ type, data }: RecoveryView): string {
  const text = (name: string) => String(data[name] ?? "");
  switch (type) {
    case "recovery.retrying":
      return `${text("message") || text("failure")}: trying again in ${duration(Number(data["delay_s"] ?? 0))} (${text("attempt")} of ${text("of")}).`;
    case "recovery.fell_back":
      return `${text("to_model")} takes over from ${text("from_model")}: ${text("failure")}.`;
    case "recovery.resumed":
      return data["reason"] === "tool_call_limit"
        ? `It reached its limit of tool calls and goes on (${text("attempt")} of ${text("of")}).`
        : "It goes on after a process was lost.";
    case "recovery.compacted":
      return "Its conversation had become too long and goes on shorter.";
    case "recovery.tool_switched_off":
      return text("message");
    default:
      return type.replace("recovery.", "").replaceAll("_", " ");
  }
}
