/**
 * The state of a run as a fold of its events: `events.reduce(reduce, EMPTY)`. Pure, with structural sharing. An event that
 * was taken in already changes nothing, so a log may be read again from any earlier place. Types that this version does
 * not know only move the cursor. The same fold in Python is runtime/client/fold.py; tests/fixtures/folds holds both to
 * account.
 */
import type { KnownEvent, Plan, RunAccepted, RunEvent, StageCompleted } from "./events";
import { isKnown, isTerminal } from "./events";
import { advance, closed, plus, usageOf } from "./lanes";
import { answered, asked, delivered, spoken, withOpen } from "./people";
import { recovered } from "./recoveries";
import type { AgentView, RunView, StageView } from "./state";
import { NO_USAGE } from "./state";

/** The state after one more event. */
export function reduce(view: RunView, event: RunEvent): RunView {
  if (event.seq <= view.last_seq) return view;
  const moved: RunView = {
    ...view,
    run_id: event.run_id,
    epoch: Math.max(view.epoch, event.epoch),
    last_seq: event.seq,
    last_at: event.at,
    last_event_id: `${event.seq}.${event.epoch}`,
  };
  if (!isKnown(event)) return { ...moved, unknown: moved.unknown + 1 };
  const after = inLane(apply(moved, event), event);
  return isTerminal(event) ? withOpen(ended(after, event.at)) : withOpen(after);
}

function apply(view: RunView, event: KnownEvent): RunView {
  switch (event.type) {
    case "run.accepted":
      return accepted(view, event.data, event.at);
    case "run.started": {
      const { epoch, owner, code_version, models } = event.data;
      const owners = [...view.owners, { epoch, owner, code_version, at: event.at }];
      const going = { state: "running", waiting_for: null, waiting_until: null } as const;
      return { ...view, ...going, owners, models: models ?? {}, started_at: view.started_at ?? event.at };
    }
    case "run.waiting":
      return { ...view, state: "waiting", waiting_for: event.data.reason, waiting_until: event.data.until ?? null };
    case "run.completed": {
      const { answer, stopped, note } = event.data;
      return { ...view, state: "completed", answer, stopped: stopped ?? null, note: note ?? null };
    }
    case "run.failed": {
      const { code, message, layer, retryable, resume } = event.data;
      return { ...view, state: "failed", error: { code, message, layer, retryable, completed: done(view) }, resume: hint(resume) };
    }
    case "run.expired": {
      const { message, resume } = event.data;
      const error = { code: "run_expired", message, layer: "executor", retryable: resume.possible, completed: done(view) };
      return { ...view, state: "expired", error, resume: hint(resume) };
    }
    case "run.cancelled":
      return { ...view, state: "cancelled", cancel_reason: event.data.reason };
    case "run.cancel_requested":
      return { ...view, cancel_requested: true, cancel_by: event.data.by };
    case "agent.started":
      return withAgent(view, event, { status: "running", model: event.data.model, started_at: event.at, ended_at: null });
    case "agent.completed":
      return withAgent(view, event, { status: "completed", ms: event.data.ms, ended_at: event.at });
    case "agent.failed": {
      const { ms, code, message, fatal } = event.data;
      return withAgent(view, event, { status: "failed", ms, code, message, fatal, ended_at: event.at });
    }
    case "title.set":
      return { ...view, title: event.data.title };
    case "guardrail.verdict": {
      const { allowed, category, reason } = event.data;
      return { ...view, guardrail: { allowed, category, reason } };
    }
    case "plan.committed":
      return planned(view, event.data.plan, event.at, null);
    case "plan.revised":
      return planned(view, event.data.plan, event.at, event.data.reason);
    case "stage.dispatched":
      return withStage(view, event, (stage) => dispatched(stage, event.data.dispatch, event.at));
    case "stage.started": {
      const { index, of, context } = event.data;
      const at = event.at;
      return withStage(view, event, (stage) => ({
        ...stage,
        status: "running",
        index,
        of,
        context: context ?? null,
        started_at: stage.started_at ?? at,
        ended_at: null,
      }));
    }
    case "stage.completed":
      return withStage(view, event, (stage) => ({ ...over(stage, "completed", event.at), ...result(event.data) }));
    case "stage.skipped":
      return withStage(view, event, (stage) => ({
        ...over(stage, "skipped", event.at),
        skipped: event.data.reason,
        stop: event.data.stop ?? null,
      }));
    case "stage.failed": {
      const { code, message, attempts, decision } = event.data;
      return withStage(view, event, (stage) => ({
        ...over(stage, "failed", event.at),
        status: decision === "retry" ? "pending" : "failed",
        failures: stage.failures + 1,
        error: { code, message, attempts, decision },
      }));
    }
    case "citation.added": {
      const { source_id, title, location, quote } = event.data;
      const one = { source_id, title, location, quote };
      return withStage(view, event, (stage) => ({ ...stage, citations: [...stage.citations, one] }));
    }
    case "turn.started":
      return spent(view, event.data.reserved_cost_usd ?? 0, 0);
    case "turn.completed": {
      const usage = usageOf(event.data.usage);
      return { ...spent(view, -(event.data.released_cost_usd ?? 0), usage.cost_usd), usage: plus(view.usage, usage) };
    }
    case "turn.failed":
    case "turn.superseded":
      return spent(view, -(event.data.released_cost_usd ?? 0), event.data.spent_cost_usd ?? 0);
    case "tool.called":
      return { ...view, tool_calls: view.tool_calls + 1 };
    case "approval.requested":
      return asked(view, event, event.data);
    case "approval.given":
      return answered(view, event.data, event.at);
    case "input.received":
      return spoken(view, event, event.data);
    case "input.delivered":
      return delivered(view, event, event.data);
    case "recovery.retrying":
    case "recovery.fell_back":
    case "recovery.compacted":
    case "recovery.resumed":
    case "recovery.tool_switched_off":
      return recovered(view, event);
    case "custom": {
      const { seq, at, stage, agent, call } = event;
      const one = { seq, at, stage: stage ?? null, agent: agent ?? null, call: call ?? null, ...event.data };
      return { ...view, customs: [...view.customs, one] };
    }
    case "hidden":
      return { ...view, hidden: view.hidden + 1 };
    case "turn.delta":
    case "turn.snapshot":
    case "tool.completed":
    case "tool.outcome_unknown":
    case "tool.arguments_invalid":
    case "usage.updated": // the sum of the turns says the same, and earlier
      return view;
    default:
      return never(event);
  }
}

function accepted(view: RunView, data: RunAccepted, at: number): RunView {
  const { input, limits } = data;
  const attachments = (input.attachments ?? []).map((a) => ({
    type: a.type,
    media_type: a.media_type ?? "",
    name: a.name ?? "",
    data: a.data ?? null,
    url: a.url ?? null,
  }));
  return {
    ...view,
    question: input.question,
    documents: input.documents ?? null,
    attachments,
    metadata: input.metadata ?? {},
    limits: { deadline_s: limits?.deadline_s ?? 3600, tool_calls: limits?.tool_calls ?? 200 },
    budget: { ...view.budget, limit_usd: limits?.budget_usd ?? null },
    conversation_id: data.conversation_id ?? null,
    resumed_from: data.resumed_from ?? null,
    approve_plan: data.approve_plan ?? false,
    title: data.title ?? null,
    created_at: at,
  };
}

function planned(view: RunView, plan: Plan, at: number, reason: string | null): RunView {
  const before = view.planned;
  const revisions = reason === null ? (before?.revisions ?? []) : [...(before?.revisions ?? []), { at, reason }];
  return {
    ...view,
    planned: {
      at: before?.at ?? at,
      max_parallel: plan.max_parallel ?? null,
      prefer_sequential: plan.prefer_sequential ?? false,
      revisions,
    },
    stages: plan.todos.map(({ id, title, agent, depends_on }) => ({
      ...(view.stages.find((stage) => stage.id === id) ?? NEW_STAGE),
      id,
      title,
      agent,
      depends_on: depends_on ?? [],
    })),
  };
}

function dispatched(stage: StageView, dispatch: number, at: number): StageView {
  const before = stage.attempts.map((a) => (a.end === null ? { ...a, end: "replaced" as const, ended_at: at } : a));
  const next = { dispatch, dispatched_at: at, ended_at: null, end: null };
  return { ...stage, status: "dispatched", dispatch, attempts: [...before, next], ended_at: null };
}

function over(stage: StageView, how: "completed" | "failed" | "skipped", at: number): StageView {
  return { ...finished(stage, how, at), status: how };
}

function finished(stage: StageView, how: "completed" | "failed" | "skipped" | "stopped", at: number): StageView {
  const attempts = stage.attempts.map((a) => (a.end === null ? { ...a, end: how, ended_at: at } : a));
  return { ...closed(stage, at), attempts, ended_at: at };
}

function result(data: StageCompleted): Partial<StageView> {
  const { index, of, output, summary, context, partial, carried_from, stop } = data;
  return {
    index,
    of,
    output,
    summary,
    handed_on: context,
    partial: partial ?? false,
    carried_from: carried_from ?? null,
    stop: stop ?? null,
  };
}

/** The run is over: what is still open in it will never end by itself, and what is held back counts as spent. */
function ended(view: RunView, at: number): RunView {
  const spent_usd = (micro(view.budget.spent_usd) + micro(view.budget.reserved_usd)) / MICRO;
  return {
    ...view,
    budget: { ...view.budget, reserved_usd: 0, spent_usd },
    ended_at: at,
    agents: view.agents.map((agent) => (agent.ended_at === null ? { ...closed(agent, at), ended_at: at } : agent)),
    stages: view.stages.map((stage) => {
      const begun = stage.attempts.length > 0;
      return begun && stage.ended_at === null ? finished(stage, "stopped", at) : stage;
    }),
  };
}

function done(view: RunView): string[] {
  return view.stages.filter((stage) => stage.output !== null).map((stage) => stage.id);
}

function hint(resume: { possible: boolean; how: string }): RunView["resume"] {
  return { possible: resume.possible, how: resume.how };
}

/** Turns and tool calls belong to a stage, or to a planning agent. */
function inLane(view: RunView, event: KnownEvent): RunView {
  if (event.stage != null) return withStage(view, event, (stage) => advance(stage, event));
  const index = view.agents.findIndex((agent) => agent.name === event.agent);
  const agent = view.agents[index];
  if (agent === undefined) return view;
  const after = event.type === "agent.completed" || event.type === "agent.failed" ? closed(agent, event.at) : advance(agent, event);
  return after === agent ? view : { ...view, agents: view.agents.map((other, i) => (i === index ? after : other)) };
}

function withStage(view: RunView, event: KnownEvent, change: (stage: StageView) => StageView): RunView {
  const index = view.stages.findIndex((stage) => stage.id === event.stage);
  const stage = view.stages[index];
  if (stage === undefined) return view;
  const after = change(stage);
  return after === stage ? view : { ...view, stages: view.stages.map((other, i) => (i === index ? after : other)) };
}

function withAgent(view: RunView, event: KnownEvent, changes: Partial<AgentView>): RunView {
  const name = event.agent ?? "";
  const known = view.agents.some((agent) => agent.name === name);
  const agents = known ? view.agents : [...view.agents, { ...NEW_AGENT, name }];
  return { ...view, agents: agents.map((agent) => (agent.name === name ? { ...agent, ...changes } : agent)) };
}

/** Held back and spent, as the log counts them: in whole millionths of a dollar, rounded up. */
function spent(view: RunView, reserve: number, spend: number): RunView {
  const reserved = Math.max(0, micro(view.budget.reserved_usd) + Math.sign(reserve) * micro(Math.abs(reserve)));
  const budget = { ...view.budget, reserved_usd: reserved / MICRO, spent_usd: (micro(view.budget.spent_usd) + micro(spend)) / MICRO };
  return { ...view, budget };
}

const MICRO = 1_000_000;

function micro(usd: number): number {
  return Math.ceil(Math.round(usd * MICRO * 1000) / 1000);
}

function never(event: never): never {
  throw new Error(`no case for ${JSON.stringify(event)}`);
}

const NEW_LANE = { turns: [], calls: [], recoveries: {}, usage: NO_USAGE, started_at: null, ended_at: null };
const NEW_AGENT: AgentView = { ...NEW_LANE, name: "", status: "running", model: "", ms: 0, code: "", message: "", fatal: false };
const NEW_STAGE: StageView = {
  ...NEW_LANE,
  id: "",
  title: "",
  agent: "",
  depends_on: [],
  status: "pending",
  dispatch: 0,
  failures: 0,
  index: null,
  of: null,
  context: null,
  output: null,
  summary: null,
  handed_on: null,
  partial: false,
  carried_from: null,
  stop: null,
  skipped: null,
  error: null,
  attempts: [],
  citations: [],
};
