import { useEffect } from "react";

import * as api from "../api/headrace";
import type { ConversationSummary, Status } from "../api/types";
import { useLoaded } from "./useLoaded";

/** How often the list is looked at again while the page is visible, in milliseconds. */
const AGAIN_MS = 15_000;

export interface Listed extends ConversationSummary {
  /** Of its newest run; null when that is not among the newest runs. */
  state: Status | null;
}

/** The newest conversations, kept fresh. */
export function useConversations() {
  const loaded = useLoaded(load, []);
  const { again } = loaded;
  useEffect(() => {
    const look = () => document.visibilityState === "visible" && again();
    const timer = setInterval(look, AGAIN_MS);
    document.addEventListener("visibilitychange", look);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", look);
    };
  }, [again]);
  return loaded;
}

export type Conversations = ReturnType<typeof useConversations>;

async function load(): Promise<Listed[]> {
  const [{ conversations }, { runs }] = await Promise.all([api.conversations(), api.runs(200)]);
  const newest = new Map<string, Status>();
  for (const run of runs) {
    if (run.conversation_id && !newest.has(run.conversation_id)) newest.set(run.conversation_id, run.state);
  }
  return conversations.map((one) => ({ ...one, state: newest.get(one.conversation_id) ?? null }));
}
