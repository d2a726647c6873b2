/** The turns of a lane in order: thinking folded, text, then the tools that the turn called. */

import { Brain } from "lucide-react";

import type { CallView, Lane, TurnView } from "../headrace";
import { Markdown } from "../ui/Markdown";
import { Call } from "./Call";
import { Fold } from "./Fold";

interface Props {
  lane: Lane;
  /** Its answer, once that is known and shown elsewhere: turns that are part of it are not said again here. */
  whole: string | null;
  /** The delegated call whose work is shown; none: the lane's own. */
  of?: CallView;
}

export function Turns({ lane, whole, of }: Props) {
  const inside = of?.path ?? null;
  const turns = lane.turns.filter((turn) => turn.call === inside && turn.purpose === "answer" && turn.status !== "superseded");
  const calls = lane.calls.filter((call) => call.call === inside);
  const shown = new Set(turns.map((turn) => turn.turn));
  return (
    <>
      {turns.map((turn) => (
        <Turn key={`${turn.turn}.${turn.attempt}`} turn={turn} lane={lane} silent={whole !== null && whole.includes(turn.text.trim())} calls={calls.filter((call) => call.turn === turn.turn && isLast(turn, turns))} />
      ))}
      {calls.filter((call) => !shown.has(call.turn)).map((call) => (
        <Call key={call.path} call={call} lane={lane} />
      ))}
    </>
  );
}

function Turn({ turn, lane, silent, calls }: { turn: TurnView; lane: Lane; silent: boolean; calls: readonly CallView[] }) {
  const writing = turn.status === "running" ? turn.tool_uses.filter((use) => !calls.some((call) => call.call_id === use.call_id)) : [];
  return (
    <>
      {turn.thinking && (
        <Fold icon={<Brain size={14} aria-hidden />} title={turn.status === "running" && !turn.text ? "Thinking …" : "Thinking"}>
          <p className="thinking">{turn.thinking}</p>
        </Fold>
      )}
      {!silent && turn.text && <Markdown text={turn.text} />}
      {turn.status === "failed" && turn.error && <p className="small bad">{turn.error.message}</p>}
      {writing.map((use) => (
        <p key={use.call_id} className="small muted pulse">
          Writing a call of {use.name} …
        </p>
      ))}
      {calls.map((call) => (
        <Call key={call.path} call={call} lane={lane} />
      ))}
    </>
  );
}

function isLast(turn: TurnView, turns: readonly TurnView[]): boolean {
  return turns.filter((other) => other.turn === turn.turn).at(-1) === turn;
}
