/** The calls of the native API that the page makes. All raise ApiProblem. */

import { ApiProblem, call } from "./http";
import type { Accepted, AgentEntry, ConversationDetail, ConversationSummary, Question, RunSummary, Said, Snapshot } from "./types";

/** How often a POST whose answer was lost is sent again; the idempotency key makes it meet the same run. */
const TRIES = 4;

export const conversations = (limit: number) =>
  call<{ conversations: ConversationSummary[]; next_before: string | null }>("GET", `/v1/conversations?limit=${limit}`);

export const conversation = (id: string, before?: string) =>
  call<ConversationDetail>("GET", `/v1/conversations/${encodeURIComponent(id)}${before ? `?before=${encodeURIComponent(before)}` : ""}`);

export const deleteConversation = (id: string) => call<null>("DELETE", `/v1/conversations/${encodeURIComponent(id)}`);

export const runs = (limit = 50) => call<{ runs: RunSummary[] }>("GET", `/v1/runs?limit=${limit}`);

export const snapshot = (run: string) => call<Snapshot>("GET", `/v1/runs/${encodeURIComponent(run)}`);

export const agents = () => call<{ agents: AgentEntry[] }>("GET", "/v1/agents");

export const ask = (question: Question) => once<Accepted>("/v1/runs", { ...question, on_disconnect: "continue" });

export const cancel = (run: string) => call<unknown>("POST", `/v1/runs/${encodeURIComponent(run)}/cancel`);

export const say = (run: string, said: Said) => once<unknown>(`/v1/runs/${encodeURIComponent(run)}/input`, said);

export const resume = (run: string, wish: { from_stage?: string } = {}) =>
  once<Accepted>(`/v1/runs/${encodeURIComponent(run)}/resume`, { ...wish, on_disconnect: "continue" });

async function once<T>(path: string, body: unknown): Promise<T> {
  const key = newKey();
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call<T>("POST", path, body, { "Idempotency-Key": key });
    } catch (error) {
      const again = error instanceof ApiProblem && [0, 500, 502, 503, 504].includes(error.status);
      if (!again || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 500 * 2 ** attempt));
    }
  }
}

function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
