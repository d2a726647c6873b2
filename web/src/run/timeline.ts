/** A run as a waterfall: rows of bars, and marks across them. Pure; times are seconds since the epoch. */

import type { AgentView, CallView, Lane, RunView, StageView, TurnView } from "../headrace";

export type Tone = "live" | "good" | "bad" | "withdrawn" | "stopped" | "wait";

/** Where a bar's events are. */
export interface Place {
  stage: string | null;
  agent: string | null;
  turn: number | null;
}

export interface Bar {
  id: string;
  kind: "attempt" | "agent" | "turn" | "call" | "people";
  from: number;
  /** null: it goes on. */
  to: number | null;
  tone: Tone;
  /** On the bar, where it fits. */
  label: string;
  /** What it is, in full. */
  title: string;
  facts: readonly (readonly [string, string])[];
  place: Place;
}

export interface Row {
  id: string;
  title: string;
  subtitle: string;
  tone: Tone | null;
  /** What lasts as long as all of it: its attempts, one after the other; behind the lines. */
  band: readonly Bar[];
  /** Lines of bars that do not overlap. */
  lines: readonly (readonly Bar[])[];
  /** The stage it is, when it is one. */
  stage: string | null;
}

export interface Mark {
  id: string;
  at: number;
  kind: "takeover" | "recovery";
  words: string;
  /** The row it belongs to; null: all. */
  row: string | null;
}

export interface Timeline {
  from: number;
  to: number;
  rows: readonly Row[];
  marks: readonly Mark[];
}

/** The waterfall of a run; `now` is where an open bar ends. */
export function timelineOf(view: RunView, now: number): Timeline {
  const from = view.created_at || view.last_at;
  const to = Math.max(view.ended_at ?? Math.max(now, view.last_at), view.last_at, from + 0.001);
  const shortest = (to - from) / 300;
  const planning = view.agents.map((agent) => agentRow(agent, shortest, to));
  const stages = view.stages.filter((stage) => stage.started_at !== null || stage.attempts.length > 0 || stage.ended_at !== null);
  const people = peopleRow(view, shortest, to);
  return { from, to, rows: [...planning, ...people, ...stages.map((stage) => stageRow(stage, shortest, to))], marks: marksOf(view) };
}

/** Round moments of the axis, as seconds after its beginning: about `wanted` of them. */
export function ticks(seconds: number, wanted: number): number[] {
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400];
  const step = steps.find((one) => seconds / one <= wanted) ?? 86_400 * Math.ceil(seconds / 86_400 / wanted);
  return Array.from({ length: Math.floor(seconds / step) + 1 }, (_, n) => n * step);
}

function agentRow(agent: AgentView, shortest: number, now: number): Row {
  const tone: Tone = agent.status === "running" ? "live" : agent.status === "failed" ? "bad" : "good";
  const bar: Bar = {
    id: `agent ${agent.name}`,
    kind: "agent",
    from: agent.started_at ?? 0,
    to: agent.ended_at,
    tone,
    label: "",
    title: `Planning: ${agent.name}`,
    facts: facts(["Model", agent.model], ["Status", agent.status], ["Why", agent.message], took(agent.started_at, agent.ended_at)),
    place: { stage: null, agent: agent.name, turn: null },
  };
  const name = { planner: "Plan", titler: "Title", guardrail: "Guardrail" }[agent.name] ?? agent.name;
  const lines = packed(inside(agent, null, agent.name), shortest, now);
  return { id: bar.id, title: name, subtitle: agent.model, tone, band: [bar], lines, stage: null };
}

function stageRow(stage: StageView, shortest: number, now: number): Row {
  const attempts = stage.attempts.map(
    (attempt): Bar => ({
      id: `attempt ${stage.id} ${attempt.dispatch}`,
      kind: "attempt",
      from: attempt.dispatched_at,
      to: attempt.ended_at,
      tone: attempt.end === null ? "live" : attempt.end === "completed" ? "good" : attempt.end === "failed" ? "bad" : attempt.end === "replaced" ? "withdrawn" : "stopped",
      label: attempt.dispatch > 1 ? `try ${attempt.dispatch}` : "",
      title: stage.attempts.length > 1 ? `Step “${stage.title}”, handed out for the ${ordinal(attempt.dispatch)} time` : `Step “${stage.title}”`,
      facts: facts(
        ["Agent", stage.agent],
        ["End", attempt.end ?? "under way"],
        ["Error", attempt.end === "failed" && stage.error ? `${stage.error.code}: ${stage.error.message}` : ""],
        took(attempt.dispatched_at, attempt.ended_at),
      ),
      place: { stage: stage.id, agent: null, turn: null },
    }),
  );
  const carried = stage.carried_from ? "carried over" : stage.skipped ? "skipped" : "";
  const state = stage.status === "completed" ? "good" : stage.status === "failed" ? "bad" : stage.status === "skipped" ? "stopped" : "live";
  return {
    id: `stage ${stage.id}`,
    title: stage.title,
    subtitle: [stage.agent, carried, stage.partial ? "partial" : ""].filter(Boolean).join(" · "),
    tone: state,
    band: attempts,
    lines: packed(inside(stage, stage.id, stage.agent), shortest, now),
    stage: stage.id,
  };
}

function peopleRow(view: RunView, shortest: number, now: number): Row[] {
  const asked = view.approvals.map(
    (approval): Bar => ({
      id: `people ${approval.approval}`,
      kind: "people",
      from: approval.requested_at,
      to: approval.answered_at ?? (approval.open ? null : (view.ended_at ?? approval.requested_at)),
      tone: "wait",
      label: approval.kind,
      title: `A person was asked: ${approval.what}`,
      facts: facts(
        ["Answer", approval.approved === null ? "none yet" : approval.approved ? "yes" : "no"],
        ["By", approval.by ?? ""],
        ["Words", approval.text],
        took(approval.requested_at, approval.answered_at),
      ),
      place: { stage: approval.stage, agent: null, turn: null },
    }),
  );
  return asked.length === 0 ? [] : [{ id: "people", title: "People", subtitle: "what they were asked", tone: null, band: [], lines: packed(asked, shortest, now), stage: null }];
}

/** The turns and tool calls of a lane, delegates' work included. */
function inside(lane: Lane, stage: string | null, agent: string): Bar[] {
  return [...lane.turns.map((turn) => turnBar(turn, stage, agent)), ...lane.calls.filter(ran).map((call) => callBar(call, stage, agent))];
}

function ran(call: CallView): boolean {
  return call.started_at !== null;
}

const TURN_TONE: Record<TurnView["status"], Tone> = { running: "live", completed: "good", failed: "bad", superseded: "withdrawn", stopped: "stopped" };
const CALL_TONE: Record<CallView["status"], Tone> = { running: "live", completed: "good", failed: "bad", unknown: "bad", invalid: "bad", stopped: "stopped" };

function turnBar(turn: TurnView, stage: string | null, agent: string): Bar {
  const used = turn.usage;
  const whose = turn.call !== null ? `, of the delegate ${turn.agent ?? ""}` : "";
  return {
    id: `turn ${stage} ${agent} ${turn.call ?? ""} ${turn.turn} ${turn.attempt}`,
    kind: "turn",
    from: turn.started_at,
    to: turn.ended_at,
    tone: TURN_TONE[turn.status],
    label: turn.attempt > 1 ? `turn ${turn.turn}, try ${turn.attempt}` : `turn ${turn.turn}`,
    title: `Turn ${turn.turn}${turn.attempt > 1 ? `, attempt ${turn.attempt}` : ""}${whose}${turn.purpose === "summary" ? ", a summary" : ""}`,
    facts: facts(
      ["Model", turn.model],
      ["Status", turn.status === "superseded" ? `withdrawn: ${turn.reason ?? ""}` : turn.status],
      ["Error", turn.error ? `${turn.error.code}: ${turn.error.message}` : ""],
      ["Tokens", used ? `${used.input_tokens + used.cache_read_tokens + used.cache_write_tokens} in, ${used.output_tokens} out` : ""],
      ["Cost", turn.spent_usd > 0 ? `$${turn.spent_usd.toFixed(4)}` : ""],
      ["Events", `${turn.first_seq} to ${turn.last_seq}`],
      took(turn.started_at, turn.ended_at),
    ),
    place: { stage, agent: turn.agent ?? agent, turn: turn.turn },
  };
}

function callBar(call: CallView, stage: string | null, agent: string): Bar {
  return {
    id: `call ${stage} ${call.path}`,
    kind: "call",
    from: call.started_at ?? 0,
    to: call.ended_at,
    tone: CALL_TONE[call.status],
    label: call.title || call.name,
    title: `Tool ${call.title || call.name}${call.delegate ? `, a task for ${call.delegate}` : ""}`,
    facts: facts(
      ["Status", call.status === "unknown" ? "outcome unknown" : call.status],
      ["Arguments", shortened(JSON.stringify(call.arguments))],
      ["Result", shortened(call.result ?? "")],
      ["Begun", call.times > 1 ? `${call.times} times` : ""],
      took(call.started_at, call.ended_at),
    ),
    place: { stage, agent: call.agent ?? agent, turn: call.turn },
  };
}

function marksOf(view: RunView): Mark[] {
  const takeovers = view.owners.slice(1).map((owner): Mark => ({ id: `owner ${owner.epoch}`, at: owner.at, kind: "takeover", words: `Another process goes on (${owner.owner})`, row: null }));
  const recoveries = view.recovery_log
    .filter((one) => one.kind !== "resumed:takeover")
    .map((one): Mark => ({ id: `recovery ${one.seq}`, at: one.at, kind: "recovery", words: `${one.kind.replaceAll("_", " ").replace(":", ": ")}`, row: one.stage !== null ? `stage ${one.stage}` : one.agent !== null ? `agent ${one.agent}` : null }));
  return [...takeovers, ...recoveries];
}

/** Bars in as few lines as keep them apart; one that is shorter than can be seen takes as much room as can. */
function packed(bars: readonly Bar[], shortest: number, now: number): Bar[][] {
  const lines: { bars: Bar[]; end: number }[] = [];
  for (const bar of [...bars].sort((one, other) => one.from - other.from)) {
    const end = Math.max(bar.to ?? now, bar.from + shortest);
    const free = lines.find((line) => line.end <= bar.from);
    if (free) {
      free.bars.push(bar);
      free.end = end;
    } else lines.push({ bars: [bar], end });
  }
  return lines.map((line) => line.bars);
}

function facts(...given: (readonly [string, string])[]): (readonly [string, string])[] {
  return given.filter(([, words]) => words !== "");
}

function took(from: number | null, to: number | null): readonly [string, string] {
  return ["Took", from === null || to === null ? "" : span(to - from)];
}

/** `250 ms`, `1.25 s`, `3 min 5 s`. */
export function span(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Number(seconds.toFixed(seconds < 10 ? 2 : 1))} s`;
  const whole = Math.round(seconds);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function shortened(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)} …`;
}

function ordinal(n: number): string {
  return n === 2 ? "second" : n === 3 ? "third" : n === 1 ? "first" : `${n}th`;
}
