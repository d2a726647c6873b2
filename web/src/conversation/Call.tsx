import { Wrench } from "lucide-react";

import type { CallView, Lane } from "../headrace";
import { Fold } from "./Fold";
import { Turns } from "./Turns";

const WORDS: Record<CallView["status"], string> = {
  running: "running",
  completed: "",
  failed: "failed",
  unknown: "outcome unknown",
  invalid: "bad arguments",
  stopped: "stopped",
};

/** A tool call: its name on a line, and unfolded its arguments, its result and its time. */
export function Call({ call, lane }: { call: CallView; lane: Lane }) {
  const wrong = ["failed", "unknown", "invalid"].includes(call.status);
  const facts = (
    <span className={`tiny tabular nowrap ${wrong ? "bad" : "muted"} ${call.status === "running" ? "pulse" : ""}`}>
      {[WORDS[call.status], call.ms !== null ? `${call.ms} ms` : ""].filter(Boolean).join(", ")}
    </span>
  );
  return (
    <Fold icon={<Sign icon={call.icon} />} title={<Title call={call} />} facts={facts}>
      {call.description && <p className="tiny muted">{call.description}</p>}
      <h4>Arguments</h4>
      <pre tabIndex={0}>{JSON.stringify(call.arguments, null, 2)}</pre>
      {call.delegate && <Turns lane={lane} whole={null} of={call} />}
      {call.result !== null && (
        <>
          <h4>{wrong ? "What went wrong" : "Result"}</h4>
          <pre tabIndex={0}>{call.result}</pre>
        </>
      )}
    </Fold>
  );
}

function Title({ call }: { call: CallView }) {
  return (
    <>
      {call.title || call.name}
      <span className="muted call-brief"> {brief(call.arguments)}</span>
    </>
  );
}

/** A tool's own sign when it is an emoji; an address of a picture is not fetched. */
function Sign({ icon }: { icon: string }) {
  if (icon && icon.length <= 8 && !/[\w/:.]/.test(icon)) return <span aria-hidden>{icon}</span>;
  return <Wrench size={14} aria-hidden />;
}

/** The first word or number among the arguments, for the folded line. */
function brief(args: CallView["arguments"]): string {
  const first = Object.values(args).find((value) => typeof value === "string" || typeof value === "number");
  return first === undefined ? "" : String(first).slice(0, 120);
}
