/** Which events are listed. */

import type { Family, RunEvent } from "../headrace";

export interface Filter {
  /** null: all. */
  family: Family | null;
  type: string | null;
  /** "": those of no stage. */
  stage: string | null;
  turn: number | null;
  agent: string | null;
}

export const ALL: Filter = { family: null, type: null, stage: null, turn: null, agent: null };

export const FAMILIES: readonly Family[] = ["token", "object", "status", "error", "system"];

export function fits(event: RunEvent, filter: Filter): boolean {
  return (
    (filter.family === null || event.family === filter.family) &&
    (filter.type === null || event.type === filter.type) &&
    (filter.stage === null || (event.stage ?? "") === filter.stage) &&
    (filter.turn === null || event.turn === filter.turn) &&
    (filter.agent === null || event.agent === filter.agent)
  );
}

export function isAll(filter: Filter): boolean {
  return Object.values(filter).every((value) => value === null);
}

/** The places (0, 1, 2 …) of the first `count` events that fit. Goes on where it stopped when only `count` has grown. */
export class Filtered {
  private filter: Filter = ALL;
  private upTo = 0;
  private places: number[] = [];

  of(events: readonly RunEvent[], filter: Filter, count: number): readonly number[] {
    if (filter !== this.filter || count < this.upTo || events.length < this.upTo) {
      this.filter = filter;
      this.upTo = 0;
      this.places = [];
    }
    if (count > this.upTo) {
      const found: number[] = [];
      for (let place = this.upTo; place < count; place += 1) {
        const event = events[place];
        if (event && fits(event, filter)) found.push(place);
      }
      this.upTo = count;
      if (found.length > 0) this.places = [...this.places, ...found];
    }
    return this.places;
  }
}

/** An event's data on one line. */
export function brief(event: RunEvent): string {
  const data = event.data as { readonly [field: string]: unknown };
  const words: string[] = [];
  for (const field of BRIEF) {
    const value = data[field];
    if (typeof value === "string" && value !== "") words.push(value.slice(0, 200));
    if (typeof value === "number") words.push(`${field} ${value}`);
  }
  return words.join(" · ").replace(/\s+/g, " ");
}

const BRIEF = ["code", "name", "title", "model", "text", "message", "reason", "failure", "decision", "summary", "what", "dispatch", "epoch", "owner", "stop_reason", "answer", "category", "quote"];

/** JSON for people: long strings shortened, the whole at most `most` characters. */
export function pretty(event: RunEvent, longest = 4000, most = 200_000): string {
  const text = JSON.stringify(event, (_, value: unknown) => (typeof value === "string" && value.length > longest ? `${value.slice(0, longest)} … (${value.length - longest} more characters)` : value), 2);
  return text.length <= most ? text : `${text.slice(0, most)}\n… (${text.length - most} more characters)`;
}
