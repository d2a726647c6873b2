/**
 * Follows a run to its end over `fetch`, however often the connection breaks: every event once, in order. It goes on with
 * `Last-Event-ID` after the last event taken in. `fetch` and not `EventSource`, which cannot send a key and gives up for
 * good on any status but 200.
 */
import type { RunEvent } from "./events";
import { isTerminal } from "./events";
import type { Frame } from "./sse";
import { SseDecoder } from "./sse";

/** How the connection stands, for people: `waiting` until the next attempt in `delay_ms`. */
export type Connection =
  | { readonly state: "connecting"; readonly attempt: number }
  | { readonly state: "open" }
  | { readonly state: "waiting"; readonly attempt: number; readonly delay_ms: number; readonly cause: string }
  | { readonly state: "ended" };

export interface Handlers {
  /** What came in one piece, in order; fold all of it before drawing. */
  events(events: readonly RunEvent[]): void;
  /** The server's log is another one than was read so far: forget everything, it begins again at event 1. */
  reset?(problem: Problem): void;
  connection?(connection: Connection): void;
}

export interface FollowOptions {
  /** The cursor to go on after, `<seq>.<epoch>`; none: from the beginning. */
  after?: string;
  apiKey?: string | null;
  /** Ends following; the promise then resolves with "aborted". */
  signal?: AbortSignal;
  fetch?: typeof globalThis.fetch;
  backoff?: Backoff;
  /** Longest silence in ms; the server says something at least every 15 s. */
  silenceMs?: number;
  random?: () => number;
  sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** When to come back after a broken connection. All of the wait is random, so that readers do not come back together. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
  /** Failures in a row after which following ends with an error. */
  readonly attempts: number;
}

export const BACKOFF: Backoff = { firstMs: 250, mostMs: 15_000, attempts: Infinity };
const SILENCE_MS = 45_000;

/** An answer that is no stream: RFC 9457's fields, as far as the server gave them. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryAfterMs: number | null,
  ) {
    super(detail);
    this.name = "Problem";
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return this.status === 429 || this.status >= 500;
  }
}

/**
 * Follow the run whose events are at `url`. Resolves with "ended" after the run's last event, or with "aborted".
 * Rejects with `Problem` when the server refuses for good (no such run, no right to read it).
 */
export async function follow(url: string, handlers: Handlers, options: FollowOptions = {}): Promise<"ended" | "aborted"> {
  const { signal, backoff = BACKOFF, random = Math.random, sleep = wait } = options;
  let cursor = options.after ?? null;
  let failures = 0;
  const aborted = (): boolean => signal?.aborted === true;
  while (!aborted()) {
    handlers.connection?.({ state: "connecting", attempt: failures + 1 });
    const outcome = await connect(url, cursor, handlers, options);
    if (outcome.progressed) failures = 0;
    cursor = outcome.cursor;
    if (outcome.ended) {
      handlers.connection?.({ state: "ended" });
      return "ended";
    }
    if (aborted()) break;
    if (outcome.problem !== null && isGone(outcome.problem) && cursor !== null) {
      cursor = null;
      handlers.reset?.(outcome.problem);
      continue;
    }
    if (outcome.problem !== null && !outcome.problem.retryable) throw outcome.problem;
    failures += 1;
    if (failures >= backoff.attempts) throw outcome.problem ?? new Problem(0, "unreachable", outcome.cause, null);
    const jitter = random() * Math.min(backoff.mostMs, backoff.firstMs * 2 ** (failures - 1));
    const delay_ms = Math.min(backoff.mostMs, Math.max(jitter, outcome.askedMs ?? 0));
    handlers.connection?.({ state: "waiting", attempt: failures, delay_ms, cause: outcome.cause });
    await sleep(delay_ms, signal ?? new AbortController().signal);
  }
  return "aborted";
}

/** What became of one connection. */
interface Outcome {
  readonly cursor: string | null;
  readonly ended: boolean;
  readonly progressed: boolean;
  readonly problem: Problem | null;
  readonly cause: string;
  /** How long the server asked to wait. */
  readonly askedMs: number | null;
}

/** The cursor points to nothing in this log, or to what it no longer has. */
function isGone(problem: Problem): boolean {
  return problem.status === 409 || problem.status === 410;
}

async function connect(url: string, cursor: string | null, handlers: Handlers, options: FollowOptions): Promise<Outcome> {
  const abort = new AbortController();
  const give_up = (): void => abort.abort();
  options.signal?.addEventListener("abort", give_up, { once: true });
  const reading = new Reading(cursor, handlers);
  const silence = new Silence(options.silenceMs ?? SILENCE_MS, give_up);
  try {
    silence.broken();
    const response = await (options.fetch ?? globalThis.fetch)(url, {
      headers: headersOf(cursor, options.apiKey ?? null),
      cache: "no-store",
      signal: abort.signal,
    });
    if (response.status === 204) return reading.outcome({ ended: true });
    if (response.status !== 200) return reading.refused(await problemOf(response));
    const type = response.headers.get("content-type") ?? "no content type";
    if (!type.startsWith("text/event-stream") || response.body === null) {
      return reading.refused(new Problem(200, "no_stream", `${url} answered ${type}, not an event stream`, null));
    }
    handOn(() => handlers.connection?.({ state: "open" }));
    await reading.through(response.body, () => silence.broken());
    return reading.outcome({ cause: "the server closed the stream" });
  } catch (error) {
    if (error instanceof HandlerError) throw error.error;
    if (!(error instanceof Error)) throw error;
    return reading.outcome({ cause: silence.over ? "nothing was heard for too long" : error.message, broken: true });
  } finally {
    silence.end();
    abort.abort(); // whatever is still open
    options.signal?.removeEventListener("abort", give_up);
  }
}

/** One response being read: frames to events, in order, each once. */
class Reading {
  private readonly decoder = new SseDecoder();
  private progressed = false;
  private over = false;

  constructor(
    private cursor: string | null,
    private readonly handlers: Handlers,
  ) {}

  /** Returns when the stream or the run ends. Throws when events are missing, or the connection breaks. */
  async through(body: ReadableStream<Uint8Array>, heard: () => void): Promise<void> {
    const reader = body.getReader();
    while (!this.over) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      this.take(this.decoder.feed(value));
    }
  }

  outcome(what: { ended?: boolean; cause?: string; broken?: boolean }): Outcome {
    return {
      cursor: this.cursor,
      ended: this.over || what.ended === true,
      progressed: this.progressed,
      problem: null,
      cause: what.cause ?? "",
      askedMs: what.broken === true ? null : this.decoder.retryMs, // it counts when the server itself closed
    };
  }

  refused(problem: Problem): Outcome {
    return { ...this.outcome({}), problem, cause: problem.message, askedMs: problem.retryAfterMs };
  }

  private take(frames: readonly Frame[]): void {
    const events: RunEvent[] = [];
    let gap = false;
    for (const frame of frames) {
      const seq = seqOf(frame.id);
      const last = seqOf(this.cursor ?? "0") ?? 0;
      if (seq === null || seq <= last) continue; // no event of a run, or known already
      gap = seq !== last + 1;
      if (gap) break;
      const event = JSON.parse(frame.data) as RunEvent; // what the server's own schema describes
      events.push(event);
      this.cursor = frame.id;
      this.over = isTerminal(event);
    }
    if (events.length > 0) {
      this.progressed = true;
      handOn(() => this.handlers.events(events));
    }
    if (gap) throw new Error("events are missing");
  }
}

/** A handler's own failure is nobody's broken connection. */
class HandlerError extends Error {
  constructor(readonly error: unknown) {
    super("a handler failed");
  }
}

function handOn(action: () => void): void {
  try {
    action();
  } catch (error) {
    throw new HandlerError(error);
  }
}

/** Ends a connection on which nothing was heard for `ms`. */
class Silence {
  over = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly ms: number,
    private readonly then: () => void,
  ) {}

  /** Something was heard. */
  broken(): void {
    this.end();
    this.timer = setTimeout(() => {
      this.over = true;
      this.then();
    }, this.ms);
  }

  end(): void {
    clearTimeout(this.timer);
  }
}

function headersOf(cursor: string | null, apiKey: string | null): Record<string, string> {
  const headers: Record<string, string> = { Accept: "text/event-stream" };
  if (cursor !== null) headers["Last-Event-ID"] = cursor;
  if (apiKey !== null) headers["Authorization"] = `Bearer ${apiKey}`;
  return headers;
}

function seqOf(id: string): number | null {
  const digits = /^([0-9]{1,15})(\.[0-9]+)?$/.exec(id)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** The error in an answer; any body still becomes a sentence. */
export async function problemOf(response: Response): Promise<Problem> {
  const body: unknown = await response.json().catch(() => null);
  const fields = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const words = [fields["detail"], fields["title"]].find((text): text is string => typeof text === "string" && text !== "");
  const code = typeof fields["code"] === "string" ? fields["code"] : "error";
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  const after = Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : null;
  return new Problem(response.status, code, words ?? `the server answered HTTP ${response.status}`, after);
}

/** Resolves after `ms`, at once when `signal` is aborted or the browser is online again. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      globalThis.removeEventListener?.("online", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    globalThis.addEventListener?.("online", done, { once: true });
    if (signal.aborted) done();
  });
}
