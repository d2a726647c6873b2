/** Following a run over connections that break: every event once, in order, to the end. */
import { describe, expect, test } from "vitest";
import type { Connection, FollowOptions, RunEvent } from "../../src/headrace";
import { follow, Problem } from "../../src/headrace";

const URL = "http://headrace.test/v1/runs/r/events";
const SSE = { "content-type": "text/event-stream; charset=utf-8" };

function event(seq: number, type = seq === 5 ? "run.completed" : "custom"): string {
  const body = { seq, epoch: 1, run_id: "r", family: "object", type, at: seq, data: { text: "wört 🌊" } };
  return `id: ${seq}.1\nevent: object\ndata: ${JSON.stringify(body)}\n\n`;
}

type Answer = Response | Error | "hang" | ((signal: AbortSignal) => Response);

/** A stream that ends in good order, or breaks, or stays open until it is aborted. */
function stream(text: string, how: "ends" | "breaks" | "stays" = "ends", size = 3): (signal: AbortSignal) => Response {
  const bytes = new TextEncoder().encode(text);
  return (signal) => {
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        signal.addEventListener("abort", () => controller.error(new Error("aborted")));
      },
      pull(controller) {
        if (at < bytes.length) return controller.enqueue(bytes.slice(at, (at += size)));
        if (how === "ends") return controller.close();
        if (how === "breaks") return controller.error(new TypeError("terminated"));
        return new Promise(() => {});
      },
    });
    return new Response(body, { status: 200, headers: SSE });
  };
}

function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ code, detail: `because ${code}` }), { status, headers });
}

/** Follows a server that gives `answers`, one after the other; slept are the waits, asked the cursors. */
async function followed(answers: Answer[], options: FollowOptions = {}) {
  const seen: number[] = [];
  const resets: string[] = [];
  const states: Connection[] = [];
  const slept: number[] = [];
  const requests: Headers[] = [];
  const left = [...answers];
  const fake: typeof fetch = (_, init) => {
    requests.push(new Headers(init?.headers));
    const answer = left.shift();
    if (answer === undefined) throw new Error("nobody should have asked again");
    if (answer instanceof Error) return Promise.reject(answer);
    if (answer instanceof Response) return Promise.resolve(answer);
    const signal = init?.signal as AbortSignal;
    if (answer !== "hang") return Promise.resolve(answer(signal));
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
  };
  const handlers = {
    events: (events: readonly RunEvent[]) => seen.push(...events.map((e) => e.seq)),
    reset: (problem: Problem) => {
      resets.push(problem.code);
      seen.length = 0;
    },
    connection: (state: Connection) => states.push(state),
  };
  const sleep = (ms: number) => {
    slept.push(ms);
    return Promise.resolve();
  };
  const end = await follow(URL, handlers, { fetch: fake, random: () => 0.5, sleep, ...options });
  const asked = requests.map((headers) => headers.get("last-event-id"));
  return { end, seen, resets, states: states.map((s) => s.state), slept, asked, requests, left: left.length };
}

const numbers = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => event(from + i)).join(": ping\n\n");

describe("a stream", () => {
  test("is read to its terminal event, byte by byte", async () => {
    const run = await followed([stream(`retry: 2000\n: hello\n\n${numbers(1, 5)}`, "stays", 1)]);
    expect(run.end).toBe("ended");
    expect(run.seen).toEqual([1, 2, 3, 4, 5]);
    expect(run.states).toEqual(["connecting", "open", "ended"]);
    expect(run.asked).toEqual([null]);
  });

  test("that breaks goes on after the last whole event, with the key", async () => {
    const cut = numbers(1, 3).slice(0, -9);
    const run = await followed([stream(cut, "breaks"), new TypeError("refused"), stream(numbers(3, 5))], { apiKey: "k" });
    expect(run.seen).toEqual([1, 2, 3, 4, 5]);
    expect(run.asked).toEqual([null, "2.1", "2.1"]);
    expect(run.requests.map((headers) => headers.get("authorization"))).toEqual(["Bearer k", "Bearer k", "Bearer k"]);
    expect(run.slept).toEqual([125, 250]);
    expect(run.states).toEqual(["connecting", "open", "waiting", "connecting", "waiting", "connecting", "open", "ended"]);
  });

  test("begins after a given cursor", async () => {
    const run = await followed([stream(numbers(4, 5))], { after: "3.1" });
    expect([run.seen, run.asked]).toEqual([[4, 5], ["3.1"]]);
  });

  test("with an event missing is asked for it again, and one that comes twice is taken once", async () => {
    const run = await followed([stream(event(1) + event(3)), stream(event(1) + numbers(2, 5))]);
    expect([run.seen, run.asked]).toEqual([[1, 2, 3, 4, 5], [null, "1.1"]]);
  });

  test("that the server closes is tried again when it says, and 204 is the end", async () => {
    const nothing = new Response(null, { status: 204 });
    const run = await followed([stream("retry: 5000\n\n"), stream(`retry: 1500\n\n${event(1)}`), nothing]);
    expect(run.end).toBe("ended");
    expect(run.seen).toEqual([1]);
    expect(run.slept).toEqual([5000, 1500]);
  });

  test("on which nothing is heard is given up and made anew", async () => {
    const sleep = (): Promise<void> => Promise.resolve();
    const run = await followed([stream(event(1), "stays"), "hang", stream(numbers(2, 5))], { silenceMs: 30, sleep });
    expect([run.seen, run.asked]).toEqual([[1, 2, 3, 4, 5], [null, "1.1", "1.1"]]);
  });
});

describe("an answer that is no stream", () => {
  test.each(["cursor_ahead", "cursor_mismatch"])("%s: all is forgotten and begins again", async (code) => {
    const run = await followed([stream(numbers(1, 3), "breaks"), problem(409, code), stream(numbers(1, 5))]);
    expect([run.resets, run.seen, run.asked]).toEqual([[code], [1, 2, 3, 4, 5], [null, "3.1", null]]);
  });

  test("410 too, but not again and again", async () => {
    await expect(followed([problem(410, "gone"), problem(410, "gone")], { after: "7.1" })).rejects.toThrow("because gone");
  });

  test("busy: later, when it says", async () => {
    const run = await followed([problem(503, "busy", { "retry-after": "3" }), problem(429, "busy"), stream(numbers(1, 5))]);
    expect(run.slept).toEqual([3000, 250]);
  });

  test.each([
    [401, "unauthorized"],
    [404, "not_found"],
    [400, "invalid_cursor"],
  ])("%i ends it with the server's words", async (status, code) => {
    const refused = followed([problem(status, code)]);
    await expect(refused).rejects.toMatchObject({ name: "Problem", status, code, message: `because ${code}` });
  });

  test("a page of some other server ends it", async () => {
    const page = new Response("<html>", { status: 200, headers: { "content-type": "text/html" } });
    await expect(followed([page])).rejects.toMatchObject({ code: "no_stream" });
  });
});

test("the attempts are counted from the last progress, and may be limited", async () => {
  const down = Array.from({ length: 3 }, () => new TypeError("refused"));
  const backoff = { firstMs: 100, mostMs: 300, attempts: 4 };
  const run = await followed([...down, stream(event(1)), ...down.slice(1), stream(numbers(2, 5))], { backoff });
  expect(run.slept).toEqual([50, 100, 150, 50, 100, 150]);
  await expect(followed([...down, ...down], { backoff })).rejects.toMatchObject({ code: "unreachable" });
});

test("an abort ends it quietly, in the middle of a stream and of a wait", async () => {
  for (const answers of [[stream(event(1), "stays")], [new TypeError("refused")]] as Answer[][]) {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    const run = await followed(answers, {
      signal: abort.signal,
      sleep: (_, signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
    });
    expect(run.end).toBe("aborted");
  }
});

test("a handler's own failure is not taken for a broken connection", async () => {
  const fake = (): Promise<Response> => Promise.resolve(stream(event(1))(new AbortController().signal));
  const events = (): void => {
    throw new RangeError("in the page");
  };
  await expect(follow(URL, { events }, { fetch: fake })).rejects.toThrow(RangeError);
});
