/**
 * What a page shows of a run, as plain JSON: a fold of its events by `reduce` (see fold.ts). All of it is readonly, and
 * parts that an event does not touch stay the same objects, so that comparing by `===` tells what to draw again.
 * Names are those of `GET /v1/runs/{id}` where both say the same. Times are seconds since the epoch; money is US dollars.
 */
import type { Json, Status } from "./events";

export interface RunView {
  readonly run_id: string;
  readonly state: Status;
  readonly question: string;
  readonly documents: string | null;
  readonly attachments: readonly AttachmentView[];
  readonly metadata: { readonly [name: string]: string };
  readonly limits: { readonly deadline_s: number; readonly tool_calls: number } | null;
  readonly conversation_id: string | null;
  readonly resumed_from: string | null;
  readonly approve_plan: boolean;
  readonly title: string | null;
  readonly guardrail: { readonly allowed: boolean; readonly category: string; readonly reason: string } | null;
  /** The planning agents, in the order in which they began. */
  readonly agents: readonly AgentView[];
  /** null before there is a plan; its steps are `stages`. */
  readonly planned: PlannedView | null;
  /** One for each todo of the plan, in the plan's order. */
  readonly stages: readonly StageView[];
  readonly approvals: readonly ApprovalView[];
  /** What people said unasked. */
  readonly inputs: readonly InputView[];
  /** What users' tools and hooks said in their own words. */
  readonly customs: readonly CustomView[];
  readonly usage: UsageView;
  readonly budget: { readonly limit_usd: number | null; readonly reserved_usd: number; readonly spent_usd: number };
  readonly tool_calls: number;
  /** Agent -> model. */
  readonly models: { readonly [agent: string]: string };
  /** How often each kind of recovery happened. */
  readonly recoveries: Counts;
  /** Every recovery, in order. */
  readonly recovery_log: readonly RecoveryView[];
  /** The processes that owned the run, in order; more than one after a takeover. */
  readonly owners: readonly OwnerView[];
  readonly cancel_requested: boolean;
  readonly cancel_by: string | null;
  readonly cancel_reason: string | null;
  readonly waiting_for: string | null;
  readonly waiting_until: number | null;
  readonly answer: string | null;
  /** Why nothing more was executed, when a guardrail or a hook ended the run early. */
  readonly stopped: string | null;
  /** What a reader must know about the answer, such as which model made it. */
  readonly note: string | null;
  readonly error: ErrorView | null;
  /** Of a failed or expired run; what a cancelled one can do, the snapshot says. */
  readonly resume: { readonly possible: boolean; readonly how: string } | null;
  readonly created_at: number;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly epoch: number;
  readonly last_seq: number;
  readonly last_at: number;
  /** The cursor to go on from: `<seq>.<epoch>`. */
  readonly last_event_id: string;
  /** Events that this viewer may not see. */
  readonly hidden: number;
  /** Events of types that this version does not know. */
  readonly unknown: number;
}

export type Counts = { readonly [kind: string]: number };

export interface AttachmentView {
  readonly type: string;
  readonly media_type: string;
  readonly name: string;
  readonly data: string | null;
  readonly url: string | null;
}

export interface PlannedView {
  readonly at: number;
  readonly max_parallel: number | null;
  readonly prefer_sequential: boolean;
  readonly revisions: readonly { readonly at: number; readonly reason: string }[];
}

/** Where a conversation with a model takes place: a stage, or a planning agent. Its delegates' turns and calls have `call`. */
export interface Lane {
  readonly turns: readonly TurnView[];
  readonly calls: readonly CallView[];
  readonly recoveries: Counts;
  readonly usage: UsageView;
  readonly started_at: number | null;
  readonly ended_at: number | null;
}

export interface AgentView extends Lane {
  readonly name: string;
  readonly status: "running" | "completed" | "failed";
  readonly model: string;
  readonly ms: number;
  readonly code: string;
  readonly message: string;
  readonly fatal: boolean;
}

export type StageStatus = "pending" | "dispatched" | "running" | "completed" | "failed" | "skipped";

export interface StageView extends Lane {
  readonly id: string;
  readonly title: string;
  readonly agent: string;
  readonly depends_on: readonly string[];
  readonly status: StageStatus;
  /** The number of the latest dispatch. */
  readonly dispatch: number;
  readonly failures: number;
  readonly index: number | null;
  readonly of: number | null;
  /** What a join hook made of the results it builds on. */
  readonly context: string | null;
  readonly output: string | null;
  readonly summary: string | null;
  /** What it hands to the stages that depend on it. */
  readonly handed_on: string | null;
  readonly partial: boolean;
  readonly carried_from: string | null;
  /** Why the pipeline ends here, when a hook said so. */
  readonly stop: string | null;
  /** Why it was not run. */
  readonly skipped: string | null;
  /** The latest failure, also when another attempt went well. */
  readonly error: StageErrorView | null;
  readonly attempts: readonly AttemptView[];
  readonly citations: readonly CitationView[];
}

export interface StageErrorView {
  readonly code: string;
  readonly message: string;
  readonly attempts: number;
  readonly decision: "continue" | "retry" | "stop";
}

/** One hand-over of a stage to an agent's process. */
export interface AttemptView {
  readonly dispatch: number;
  readonly dispatched_at: number;
  readonly ended_at: number | null;
  /** `replaced`: by a later dispatch; `stopped`: the run ended meanwhile. */
  readonly end: "completed" | "failed" | "skipped" | "replaced" | "stopped" | null;
}

export interface TurnView {
  readonly turn: number;
  readonly attempt: number;
  readonly agent: string | null;
  /** In a delegate's work: the `path` of the call it answers. */
  readonly call: string | null;
  readonly purpose: "answer" | "summary";
  readonly model: string;
  /** `superseded`: withdrawn, its text is gone; `stopped`: its stage or run ended meanwhile. */
  readonly status: "running" | "completed" | "failed" | "superseded" | "stopped";
  readonly text: string;
  readonly thinking: string;
  readonly tool_uses: readonly ToolUseView[];
  /** The canonical blocks, once the turn is completed. */
  readonly content: readonly Json[] | null;
  readonly stop_reason: string | null;
  readonly truncated: boolean;
  readonly usage: UsageView | null;
  readonly reserved_usd: number;
  readonly spent_usd: number;
  readonly error: { readonly code: string; readonly message: string; readonly attempts: number } | null;
  /** Why it was withdrawn. */
  readonly reason: string | null;
  readonly started_at: number;
  readonly ended_at: number | null;
  readonly first_seq: number;
  readonly last_seq: number;
}

/** A tool call as the model writes it: `text` grows, then `input` is whole. */
export interface ToolUseView {
  readonly call_id: string;
  readonly name: string;
  readonly text: string;
  readonly input: Json;
}

export interface CallView {
  readonly call_id: string;
  readonly turn: number;
  readonly agent: string | null;
  /** Who calls, when it is a delegate: the `path` of the call it answers. */
  readonly call: string | null;
  /** What the events of the work it delegates carry in `call`. */
  readonly path: string;
  /** The agent that the task is given to. */
  readonly delegate: string | null;
  readonly name: string;
  readonly title: string;
  readonly icon: string;
  readonly description: string;
  readonly kind: "read" | "idempotent" | "at_most_once" | null;
  readonly arguments: { readonly [name: string]: Json };
  /** `unknown`: it may or may not have had its effect; `invalid`: its arguments could not be used; `stopped`: as of a turn. */
  readonly status: "running" | "completed" | "failed" | "unknown" | "invalid" | "stopped";
  /** The answer, or what went wrong. */
  readonly result: string | null;
  readonly ms: number | null;
  /** How often it was begun; more than once when a lost process had begun it; 0: never. */
  readonly times: number;
  /** null when it was answered without being run. */
  readonly started_at: number | null;
  readonly ended_at: number | null;
}

export interface CitationView {
  readonly source_id: string;
  readonly title: string;
  readonly location: string;
  readonly quote: string;
}

export interface ApprovalView {
  readonly approval: string;
  readonly kind: "plan" | "tool" | "question";
  readonly what: string;
  readonly stage: string | null;
  readonly agent: string | null;
  readonly call: string | null;
  readonly call_id: string | null;
  readonly name: string | null;
  readonly arguments: { readonly [name: string]: Json } | null;
  readonly reason: string;
  readonly options: readonly string[];
  readonly arguments_hash: string;
  readonly requested_at: number;
  readonly expires_at: number;
  /** It waits for an answer. */
  readonly open: boolean;
  /** null: not answered. */
  readonly approved: boolean | null;
  readonly text: string;
  readonly by: string | null;
  readonly answered_at: number | null;
  /** The plan was approved with changes. */
  readonly edited: boolean;
}

export interface InputView {
  readonly input: string;
  readonly kind: "message" | "cancel_stage";
  readonly text: string;
  readonly by: string;
  readonly stage: string | null;
  readonly at: number;
  /** The stages whose agents have been told. */
  readonly delivered: readonly { readonly stage: string | null; readonly at: number }[];
}

export interface CustomView {
  readonly seq: number;
  readonly at: number;
  readonly stage: string | null;
  readonly agent: string | null;
  readonly call: string | null;
  readonly name: string;
  readonly value: Json;
}

export interface RecoveryView {
  readonly seq: number;
  readonly at: number;
  readonly stage: string | null;
  readonly agent: string | null;
  readonly turn: number | null;
  readonly call: string | null;
  readonly type: string;
  readonly kind: string;
  readonly data: { readonly [name: string]: Json };
}

export interface OwnerView {
  readonly epoch: number;
  readonly owner: string;
  readonly code_version: string;
  readonly at: number;
}

export interface ErrorView {
  readonly code: string;
  readonly message: string;
  readonly layer: string;
  readonly retryable: boolean;
  /** Ids of the completed stages. */
  readonly completed: readonly string[];
}

export interface UsageView {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_tokens: number;
  readonly cache_write_tokens: number;
  readonly web_searches: number;
  readonly web_fetches: number;
  readonly cost_usd: number;
}

export const NO_USAGE: UsageView = {
  input_tokens: 0,
  output_tokens: 0,
  cache_read_tokens: 0,
  cache_write_tokens: 0,
  web_searches: 0,
  web_fetches: 0,
  cost_usd: 0,
};

/** Before the first event. */
export const EMPTY: RunView = {
  run_id: "",
  state: "accepted",
  question: "",
  documents: null,
  attachments: [],
  metadata: {},
  limits: null,
  conversation_id: null,
  resumed_from: null,
  approve_plan: false,
  title: null,
  guardrail: null,
  agents: [],
  planned: null,
  stages: [],
  approvals: [],
  inputs: [],
  customs: [],
  usage: NO_USAGE,
  budget: { limit_usd: null, reserved_usd: 0, spent_usd: 0 },
  tool_calls: 0,
  models: {},
  recoveries: {},
  recovery_log: [],
  owners: [],
  cancel_requested: false,
  cancel_by: null,
  cancel_reason: null,
  waiting_for: null,
  waiting_until: null,
  answer: null,
  stopped: null,
  note: null,
  error: null,
  resume: null,
  created_at: 0,
  started_at: null,
  ended_at: null,
  epoch: 0,
  last_seq: 0,
  last_at: 0,
  last_event_id: "0",
  hidden: 0,
  unknown: 0,
};
