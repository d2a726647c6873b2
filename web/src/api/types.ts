/** What the native API answers, as far as the page reads it. The whole of it: /openapi.json. */

import type { Status } from "../headrace/events";

export type { Status };

export interface ConversationSummary {
  conversation_id: string;
  title: string | null;
  question: string;
  created_at: number;
  updated_at: number;
  run_count: number;
  cost_usd: number;
}

export interface ConversationRun {
  run_id: string;
  state: Status;
  question: string;
  answer: string | null;
  resumed_from: string | null;
  created_at: number;
  cost_usd: number;
}

export interface ConversationDetail extends ConversationSummary {
  runs: ConversationRun[];
  next_before: string | null;
}

export interface RunSummary {
  run_id: string;
  state: Status;
  question: string;
  conversation_id: string | null;
  created_at: number;
}

export interface Accepted {
  run_id: string;
  state: Status;
  conversation_id: string | null;
}

export interface AgentEntry {
  name: string;
  description: string;
  role: "stage" | "planning";
  tools: string[];
  models: string[];
}

/** How an ended run can be gone on from. */
export interface Resume {
  possible: boolean;
  how: string;
  href: string | null;
  from_stage: string | null;
}

export interface Snapshot {
  run_id: string;
  state: Status;
  title: string | null;
  answer: string | null;
  resume: Resume | null;
}

export interface PlanTodo {
  id: string;
  title: string;
  agent: string;
  depends_on: string[];
}

export interface FileAttachment {
  type: "image" | "pdf" | "text";
  media_type: string;
  data: string;
  name: string;
}

export interface Question {
  input: string;
  documents?: string;
  conversation_id?: string;
  approve_plan?: boolean;
  budget_usd?: number;
  deadline_s?: number;
  attachments?: FileAttachment[];
}

export type Said =
  | { type: "approve"; approval: string; arguments_hash: string; approved?: boolean; text?: string; plan?: { todos: PlanTodo[] } }
  | { type: "answer"; approval: string; text: string }
  | { type: "message"; text: string; stage?: string }
  | { type: "cancel_stage"; stage: string; text?: string };
