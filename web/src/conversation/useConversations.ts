import { useEffect, useState } from "react";

import * as api from "../api/headrace";
import type { ConversationSummary, Status } from "../api/types";
import { useLoaded } from "./useLoaded";

/** How often the list is looked at again while the page is visible, in milliseconds. */
const AGAIN_MS = 15_000;

export interface Listed extends ConversationSummary {
  /** Of its newest run; null when that is not among the newest runs. */
  state: Status | null;
}

/** How many there are at most; older ones are found by asking the API. */
const STEP = 50;
const MOST = 200;

/** The newest conversations, kept fresh; `more` shows older ones. */
export function useConversations() {
  const [limit, setLimit] = useState(STEP);
  const loaded = useLoaded(() => load(limit), []);
  const { again } = loaded;
  useEffect(again, [limit, again]);
  const more = (loaded.value?.length ?? 0) >= limit && limit < MOST ? () => setLimit(Math.min(MOST, limit + STEP)) : null;
  useEffect(() => {
    const look = () => document.visibilityState === "visible" && again();
    const timer = setInterval(look, AGAIN_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [again]);
  return { ...loaded, more };
}

export type Conversations = ReturnType<typeof useConversations>;

async function load(limit: number): Promise<Listed[]> {
  const [{ conversations }, { runs }] = await Promise.all([api.conversations(limit), api.runs(200)]);
  const newest = new Map<string, Status>();
  for (const run of runs) {
    if (run.conversation_id && !newest.has(run.conversation_id)) newest.set(run.conversation_id, run.state);
  }
  return conversations.map((one) => ({ ...one, state: newest.get(one.conversation_id) ?? null }));
}
