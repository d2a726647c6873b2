import type { Outcomes } from "../api/statistics";

export interface Part {
  name: Exclude<keyof Outcomes, "stopped">;
  words: string;
}

/** The ways a run stands, as they are stacked: what went well below. */
export const PARTS: readonly Part[] = [
  { name: "completed", words: "completed" },
  { name: "cancelled", words: "cancelled" },
  { name: "unfinished", words: "under way" },
  { name: "expired", words: "out of time" },
  { name: "failed", words: "failed" },
];
