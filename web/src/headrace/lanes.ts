/**
 * Turns and tool calls of a stage or a planning agent, as a fold of its events. Text is keyed by turn, attempt and call:
 * `turn.completed` replaces what its deltas said, `turn.superseded` withdraws it.
 */
import type { ContentBlock, KnownEvent, Usage } from "./events";
import type { CallView, Lane, ToolUseView, TurnView, UsageView } from "./state";
import { NO_USAGE } from "./state";

/** The lane after an event of a turn or a tool; the same object when the event says nothing about either. */
export function advance<L extends Lane>(lane: L, event: KnownEvent): L {
  switch (event.type) {
    case "turn.started":
      return withTurn(lane, event, (turn) => ({
        ...turn,
        status: "running",
        model: event.data.model,
        purpose: event.data.purpose ?? "answer",
        reserved_usd: event.data.reserved_cost_usd ?? 0,
      }));
    case "turn.delta":
      return withTurn(lane, event, (turn) => (turn.status === "running" ? grown(turn, event.data) : turn));
    case "turn.completed": {
      const usage = usageOf(event.data.usage);
      const after = withTurn(lane, event, (turn) => ({
        ...said(turn, event.data.content),
        status: "completed",
        model: event.data.model,
        purpose: event.data.purpose ?? "answer",
        stop_reason: event.data.stop_reason,
        truncated: event.data.truncated ?? false,
        usage,
        spent_usd: usage.cost_usd,
        ended_at: event.at,
      }));
      return { ...after, usage: plus(after.usage, usage) };
    }
    case "turn.snapshot":
      return withTurn(lane, event, (turn) => said(turn, event.data.content));
    case "turn.failed":
      return withTurn(lane, event, (turn) => ({
        ...turn,
        status: "failed",
        error: { code: event.data.code, message: event.data.message, attempts: event.data.attempts },
        spent_usd: event.data.spent_cost_usd ?? 0,
        ended_at: event.at,
      }));
    case "turn.superseded":
      return withTurn(lane, event, (turn) => ({
        ...turn,
        status: "superseded",
        text: "",
        thinking: "",
        tool_uses: [],
        content: null,
        reason: event.data.reason,
        spent_usd: event.data.spent_cost_usd ?? 0,
        ended_at: event.at,
      }));
    case "tool.called":
      return withCall(lane, event, event.data, (call) => ({
        ...call,
        name: event.data.name,
        title: event.data.title ?? "",
        icon: event.data.icon ?? "",
        description: event.data.description ?? "",
        kind: event.data.kind ?? "read",
        arguments: event.data.arguments,
        delegate: event.data.delegate ?? null,
        status: "running",
        result: null,
        times: call.times + 1,
        started_at: call.started_at ?? event.at,
        ended_at: null,
      }));
    case "tool.completed":
      return answered(lane, event, event.data.is_error === true ? "failed" : "completed", event.data.result, event.data.ms ?? 0);
    case "tool.outcome_unknown":
      return answered(lane, event, "unknown", event.data.known, null);
    case "tool.arguments_invalid":
      return answered(lane, event, "invalid", event.data.message, null);
    default:
      return lane;
  }
}

/** The lane when its stage or run has ended at `at`: what was open in it will never end by itself. */
export function closed<L extends Lane>(lane: L, at: number): L {
  const open = (item: TurnView | CallView): boolean => item.status === "running";
  const turns = lane.turns.some(open) ? lane.turns.map((t): TurnView => (open(t) ? { ...t, status: "stopped", ended_at: at } : t)) : lane.turns;
  const calls = lane.calls.some(open) ? lane.calls.map((c): CallView => (open(c) ? { ...c, status: "stopped", ended_at: at } : c)) : lane.calls;
  return turns === lane.turns && calls === lane.calls ? lane : { ...lane, turns, calls };
}

/** The path of work delegated by a call: what its events carry in `call`. */
export function callPath(outer: string | null, turn: number, callId: string): string {
  const key = `${turn}.${quoted(callId)}`;
  return outer === null ? key : `${outer}/${key}`;
}

/** All fields of a usage; older logs and most turns leave some out. */
export function usageOf(usage: Usage): UsageView {
  return { ...NO_USAGE, ...usage };
}

export function plus(one: UsageView, other: UsageView): UsageView {
  return {
    input_tokens: one.input_tokens + other.input_tokens,
    output_tokens: one.output_tokens + other.output_tokens,
    cache_read_tokens: one.cache_read_tokens + other.cache_read_tokens,
    cache_write_tokens: one.cache_write_tokens + other.cache_write_tokens,
    web_searches: one.web_searches + other.web_searches,
    web_fetches: one.web_fetches + other.web_fetches,
    cost_usd: one.cost_usd + other.cost_usd,
  };
}

function withTurn<L extends Lane>(lane: L, event: KnownEvent, change: (turn: TurnView) => TurnView): L {
  const turn = event.turn ?? 0;
  const attempt = event.attempt ?? 0;
  const call = event.call ?? null;
  const index = lane.turns.findLastIndex((t) => t.turn === turn && t.attempt === attempt && t.call === call);
  const before = lane.turns[index] ?? begun(event, turn, attempt, call);
  const after = change(before);
  if (after === before && index >= 0) return lane;
  return { ...lane, turns: put(lane.turns, index, { ...after, last_seq: event.seq }) };
}

function begun(event: KnownEvent, turn: number, attempt: number, call: string | null): TurnView {
  return {
    turn,
    attempt,
    agent: event.agent ?? null,
    call,
    purpose: "answer",
    model: "",
    status: "running",
    text: "",
    thinking: "",
    tool_uses: [],
    content: null,
    stop_reason: null,
    truncated: false,
    usage: null,
    reserved_usd: 0,
    spent_usd: 0,
    error: null,
    reason: null,
    started_at: event.at,
    ended_at: null,
    first_seq: event.seq,
    last_seq: event.seq,
  };
}

function grown(turn: TurnView, delta: { kind?: string; text: string; call_id?: string | null; name?: string | null }): TurnView {
  switch (delta.kind ?? "text") {
    case "text":
      return { ...turn, text: turn.text + delta.text };
    case "thinking":
      return { ...turn, thinking: turn.thinking + delta.text };
    case "tool_input": {
      const id = delta.call_id ?? "";
      const index = turn.tool_uses.findLastIndex((use) => use.call_id === id);
      const use = turn.tool_uses[index] ?? { call_id: id, name: delta.name ?? "", text: "", input: null };
      return { ...turn, tool_uses: put(turn.tool_uses, index, { ...use, text: use.text + delta.text }) };
    }
    default:
      return turn;
  }
}

/** The turn with its canonical content in place of what the deltas said. */
function said(turn: TurnView, content: readonly ContentBlock[]): TurnView {
  let text = "";
  let thinking = "";
  const uses: ToolUseView[] = [];
  for (const block of content as readonly { type: string; [field: string]: unknown }[]) {
    if (block.type === "text") text += block["text"] as string;
    if (block.type === "thinking") thinking += block["thinking"] as string;
    if (block.type === "tool_use") uses.push({ call_id: block["id"] as string, name: block["name"] as string, text: "", input: block["input"] as ToolUseView["input"] });
  }
  return { ...turn, text, thinking, tool_uses: uses, content: content as TurnView["content"] };
}

function answered<L extends Lane>(
  lane: L,
  event: KnownEvent & { data: { call_id: string; name: string; title?: string; icon?: string } },
  status: CallView["status"],
  result: string,
  ms: number | null,
): L {
  return withCall(lane, event, event.data, (call) => ({ ...call, status, result, ms, ended_at: event.at }));
}

function withCall<L extends Lane>(
  lane: L,
  event: KnownEvent,
  data: { call_id: string; name: string; title?: string; icon?: string },
  change: (call: CallView) => CallView,
): L {
  const turn = event.turn ?? 0;
  const caller = event.call ?? null;
  const index = lane.calls.findLastIndex((c) => c.call_id === data.call_id && c.turn === turn && c.call === caller);
  const before = lane.calls[index] ?? unseen(lane, event, data, turn, caller);
  return { ...lane, calls: put(lane.calls, index, change(before)) };
}

/** A call that has not been begun; what it would be called with is known from its turn. */
function unseen(
  lane: Lane,
  event: KnownEvent,
  data: { call_id: string; name: string; title?: string; icon?: string },
  turn: number,
  caller: string | null,
): CallView {
  const uses = lane.turns.findLast((t) => t.turn === turn && t.call === caller && t.status === "completed")?.tool_uses;
  const input = uses?.find((use) => use.call_id === data.call_id)?.input ?? {};
  return {
    call_id: data.call_id,
    turn,
    agent: event.agent ?? null,
    call: caller,
    path: callPath(caller, turn, data.call_id),
    delegate: null,
    name: data.name,
    title: data.title ?? "",
    icon: data.icon ?? "",
    description: "",
    kind: null,
    arguments: input as CallView["arguments"],
    status: "running",
    result: null,
    ms: null,
    times: 0,
    started_at: null,
    ended_at: null,
  };
}

function put<T>(items: readonly T[], index: number, item: T): readonly T[] {
  return index < 0 ? [...items, item] : items.map((other, i) => (i === index ? item : other));
}

/** As Python's `urllib.parse.quote(text, safe="")`. */
function quoted(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
