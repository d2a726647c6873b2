/** One run, followed live: the fold of its events, and how the connection stands. */

import { useEffect, useState } from "react";

import { send, useKey } from "../api/http";
import { type Connection, EMPTY, follow, Problem, reduce, type RunEvent, type RunView } from "../headrace";

/** How long events are gathered before the page is drawn again, in milliseconds: short enough to look live. */
const DRAW_MS = 40;

export interface Followed {
  view: RunView;
  connection: Connection;
  /** Why it cannot be followed at all. */
  refused: string | null;
}

const START: Followed = { view: EMPTY, connection: { state: "connecting", attempt: 1 }, refused: null };

/** Follows the run from its first event to its last, through restarts of the server and broken connections. */
export function useRun(runId: string): Followed {
  const key = useKey();
  const [followed, setFollowed] = useState<Followed>(START);
  useEffect(() => {
    const stop = new AbortController();
    const gathered = new Gathered(setFollowed);
    const handlers = {
      events: (events: readonly RunEvent[]) => gathered.take(events),
      reset: () => gathered.reset(),
      connection: (connection: Connection) => setFollowed((before) => ({ ...before, connection })),
    };
    setFollowed(START);
    follow(`/v1/runs/${encodeURIComponent(runId)}/events`, handlers, { signal: stop.signal, fetch: withKey })
      .then(() => gathered.flush())
      .catch((error: unknown) => {
        gathered.flush();
        setFollowed((before) => ({ ...before, refused: words(error) }));
      });
    return () => {
      stop.abort();
      gathered.drop();
    };
  }, [runId, key]);
  return followed;
}

const withKey: typeof fetch = (input, init) => send(String(input), init);

function words(error: unknown): string {
  if (!(error instanceof Problem)) return `This run cannot be shown: ${String(error)}`;
  if (error.status === 401) return "The server wants an API key for this run.";
  if (error.status === 403) return "Your key does not allow you to read this run.";
  if (error.status === 404) return "This run is not there: it was deleted, or it never was.";
  return error.message;
}

/** Folds what came at once, and draws it a little later: tokens come faster than a page can be drawn. */
class Gathered {
  private events: RunEvent[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly set: (change: (before: Followed) => Followed) => void) {}

  take(events: readonly RunEvent[]): void {
    this.events.push(...events);
    this.timer ??= setTimeout(() => this.flush(), DRAW_MS);
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const events = this.events.splice(0);
    if (events.length > 0) this.set((before) => ({ ...before, view: events.reduce(reduce, before.view) }));
  }

  reset(): void {
    this.drop();
    this.set((before) => ({ ...before, view: EMPTY }));
  }

  drop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.events = [];
  }
}
