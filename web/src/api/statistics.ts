/** `GET /v1/statistics`: how the runs go. What each field means: docs/http.md. */

import type { Status } from "../headrace/events";
import { call } from "./http";

export interface Spread {
  count: number;
  p50_s: number;
  p95_s: number;
  max_s: number;
}

export interface RunUnderWay {
  run_id: string;
  tenant_id: string;
  state: Status;
  question: string | null;
  created_at: number;
  last_event_at: number | null;
  takeovers: number;
  cancel_requested: boolean;
  stages_ended: number;
  stages_begun: number;
  cost_usd: number;
}

export interface Outcomes {
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
  unfinished: number;
  stopped: number;
}

export interface Slot extends Outcomes {
  begins_at: number;
}

export interface RecoveryRate {
  kind: string;
  ended: number;
  met: number;
  completed: number;
  share: number;
  success: number;
}

export interface Use {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_write_tokens: number;
  cost_usd: number;
}

export interface ModelUse extends Use {
  model: string;
  calls: number;
  completed: number;
  failed: number;
  withdrawn: number;
  reasons: { reason: string; count: number }[];
  times: Spread | null;
}

export interface AgentTimes {
  agent: string;
  times: Spread;
}

export interface ToolUse {
  name: string;
  calls: number;
  failed: number;
  unknown: number;
  invalid: number;
  refused: number;
  times: Spread | null;
}

export interface ErrorCount {
  where: "run" | "planning" | "stage" | "model";
  code: string;
  count: number;
  last_run_id: string;
}

export interface Report {
  scope: "tenant" | "all";
  at: number;
  since: number;
  runs: number;
  complete: boolean;
  under_way: { accepted: number; running: number; waiting: number; runs: RunUnderWay[] };
  outcomes: Outcomes;
  rates: { completion: number; error: number; cancellation: number };
  over_time: Slot[];
  durations: { runs: Spread | null; first_token: Spread | null; stages: AgentTimes[]; planning: AgentTimes[] };
  recovery: { runs: RecoveryRate[]; stages: RecoveryRate[]; happened: { kind: string; count: number }[]; tool_limits: number; takeovers: number };
  total: Use;
  models: ModelUse[];
  agents: (Use & { agent: string; calls: number })[];
  conversations: (Use & { conversation_id: string; runs: number })[];
  tenants: (Use & Outcomes & { tenant_id: string; under_way: number })[];
  days: { tenant_id: string; day: string; spent_usd: number; reserved_usd: number }[];
  errors: ErrorCount[];
  tools: ToolUse[];
}

export const statistics = (hours: number) => call<Report>("GET", `/v1/statistics?hours=${hours}`);
