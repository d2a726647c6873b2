/** One way to the server: the key is added, and every refusal becomes an `ApiProblem` in words for a person. */

import { useSyncExternalStore } from "react";

const STORED = "headrace-key";
const listeners = new Set<() => void>();
let wanted = false;

/** What the server refused, or that it could not be reached (`status` 0). */
export class ApiProblem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfterS: number | null = null,
    readonly errors: readonly { pointer: string; detail: string }[] = [],
  ) {
    super(message);
  }
}

/** The API key of this tab; it is forgotten when the tab is closed. */
export function key(): string | null {
  return sessionStorage.getItem(STORED);
}

/** Use this key from now on; null: none. */
export function setKey(value: string | null): void {
  if (value === null) sessionStorage.removeItem(STORED);
  else sessionStorage.setItem(STORED, value);
  wanted = false;
  listeners.forEach((listener) => listener());
}

/** True once the server has asked for a key, until one is given. */
export function useKeyWanted(): boolean {
  return useSyncExternalStore(subscribe, () => wanted);
}

/** Changes whenever another key is used: what was loaded with the old one is to be loaded again. */
export function useKey(): string | null {
  return useSyncExternalStore(subscribe, key);
}

/** `fetch` with the key. A 401 makes the page ask for one. Raises ApiProblem when the server cannot be reached. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const known = key();
  if (known !== null) headers.set("Authorization", `Bearer ${known}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, redirect: "error", credentials: "omit" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiProblem(0, "unreachable", "The server cannot be reached. Is it running, and are you online?");
  }
  if (response.status === 401 && known === key()) {
    wanted = true;
    listeners.forEach((listener) => listener());
  }
  return response;
}

/** JSON in, JSON out. Raises ApiProblem. */
export async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const init: RequestInit = { method, headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, "Content-Type": "application/json" };
  }
  const response = await send(path, init);
  if (!response.ok) throw await problem(response);
  return (response.status === 204 ? null : await response.json()) as T;
}

/** What a refusal says, and what one can do about it. */
export async function problem(response: Response): Promise<ApiProblem> {
  const after = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const retryAfterS = Number.isFinite(after) ? after : null;
  const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const detail = typeof body["detail"] === "string" ? body["detail"] : "";
  const code = typeof body["code"] === "string" ? body["code"] : "";
  const errors = Array.isArray(body["errors"]) ? (body["errors"] as { pointer: string; detail: string }[]) : [];
  return new ApiProblem(response.status, code, words(response.status, detail, retryAfterS), retryAfterS, errors);
}

function words(status: number, detail: string, retryAfterS: number | null): string {
  const again = retryAfterS === null ? "" : ` Try again in ${Math.ceil(retryAfterS)} s.`;
  if (status === 401) return "The server wants an API key, or the one you gave is not valid any more.";
  if (status === 403) return `Your key does not allow this.${detail ? ` ${detail}` : ""}`;
  if (status === 404) return "This is not there: it was deleted, or it never was.";
  if (status === 413) return "That is too much for one request. Attach smaller files.";
  if (status === 429) return `That was too much at once.${detail ? ` ${detail}` : ""}${again}`;
  if (status === 503) return `The server cannot do this just now.${detail ? ` ${detail}` : ""}${again}`;
  return detail || `The server answered ${status}.`;
}

function subscribe(changed: () => void): () => void {
  listeners.add(changed);
  return () => listeners.delete(changed);
}
