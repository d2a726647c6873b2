/** A run's tape, filled live. */

import { useEffect, useState } from "react";

import { send, useKey } from "../api/http";
import { type Connection, follow, Problem, type RunEvent } from "../headrace";
import { Tape } from "./tape";

/** How long events are gathered before the page is drawn again, in milliseconds. */
const DRAW_MS = 60;

export interface Followed {
  tape: Tape;
  /** Events on the tape; changes when there are more. */
  count: number;
  connection: Connection;
  /** Why it cannot be followed at all. */
  refused: string | null;
}

const start = (tape = new Tape()): Followed => ({ tape, count: 0, connection: { state: "connecting", attempt: 1 }, refused: null });

/** Follows the run from its first event to its last. */
export function useTape(runId: string): Followed {
  const key = useKey();
  const [followed, setFollowed] = useState<Followed>(start);
  useEffect(() => {
    const stop = new AbortController();
    let tape = new Tape();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const draw = () => {
      timer = undefined;
      if (!stop.signal.aborted) setFollowed((before) => ({ ...before, tape, count: tape.count }));
    };
    const handlers = {
      events: (events: readonly RunEvent[]) => {
        tape.push(events);
        timer ??= setTimeout(draw, DRAW_MS);
      },
      reset: () => {
        tape = new Tape();
      },
      connection: (connection: Connection) => setFollowed((before) => ({ ...before, connection })),
    };
    setFollowed(start(tape));
    follow(`/v1/runs/${encodeURIComponent(runId)}/events`, handlers, { signal: stop.signal, fetch: withKey }).catch((error: unknown) =>
      setFollowed((before) => ({ ...before, refused: words(error) })),
    );
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [runId, key]);
  return followed;
}

const withKey: typeof fetch = (input, init) => send(String(input), init);

function words(error: unknown): string {
  if (!(error instanceof Problem)) return `This run cannot be shown: ${String(error)}`;
  return error.status === 404 ? "This run is not there: it was deleted, or it never was." : error.message;
}
