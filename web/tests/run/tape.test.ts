/** The tape and the filter of the run view, held to a plain fold and a plain filter of the same events. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import type { RunEvent } from "../../src/headrace";
import { EMPTY, reduce } from "../../src/headrace";
import { ALL, type Filter, Filtered, fits, pretty } from "../../src/run/filter";
import { EVERY, Tape } from "../../src/run/tape";
import { type Bar, ticks, timelineOf } from "../../src/run/timeline";

const ROOM = new URL("../../../tests/fixtures/folds/", import.meta.url);
const logs = readdirSync(ROOM)
  .filter((name) => name.endsWith(".json"))
  .map((name) => [name, (JSON.parse(readFileSync(new URL(name, ROOM), "utf8")) as { events?: RunEvent[] }).events ?? []] as const)
  .filter(([, events]) => events.length > 0);

const long = (): RunEvent[] => {
  const base = logs.find(([name]) => name === "golden_completed.json")?.[1] ?? [];
  const token = base.find((event) => event.type === "turn.delta") as RunEvent;
  const place = base.indexOf(token);
  const tokens = Array.from({ length: 3 * EVERY + 7 }, (_, n) => ({ ...token, at: token.at + n * 0.01, data: { ...token.data, text: `${n} ` } }) as RunEvent);
  return [...base.slice(0, place), ...tokens].map((event, n) => ({ ...event, seq: n + 1 }));
};

test("a tape gives the run after any number of events, in any order of asking", () => {
  const events = long();
  const tape = new Tape();
  tape.push(events.slice(0, 100));
  tape.push(events.slice(100));
  expect(tape.count).toBe(events.length);
  const asked = [0, 1, EVERY - 1, EVERY, EVERY + 1, 3 * EVERY, 17, 18, 19, 2 * EVERY + 3, events.length, events.length + 5, 2];
  for (const count of asked) expect(tape.at(count), `after ${count}`).toEqual(events.slice(0, count).reduce(reduce, EMPTY));
  expect(tape.at(events.length)).toBe(tape.view);
});

test("moments and numbers of events belong together, also when a clock goes back", () => {
  const event = logs[0]?.[1][0] as RunEvent;
  const tape = new Tape();
  tape.push([0, 1, 0.5, 3, 3, 2.9, 7].map((at, n) => ({ ...event, seq: n + 1, at: 100 + at })));
  expect([1, 2, 3, 4, 5, 6, 7, 99].map((n) => tape.timeOf(n))).toEqual([0, 1, 1, 3, 3, 3, 7, 7]);
  expect([-1, 0, 0.9, 1, 2.9, 3, 6.9, 7, 50].map((at) => tape.countAt(at))).toEqual([0, 1, 1, 3, 3, 6, 6, 7, 7]);
  expect(tape.length).toBe(7);
  expect(new Tape().countAt(1)).toBe(0);
});

test("a hundred thousand events are taken in and gone back in without folding all of them again", () => {
  const events = long();
  const token = events.at(-1) as RunEvent;
  const tape = new Tape();
  tape.push(events);
  tape.push(Array.from({ length: 100_000 - events.length }, (_, n) => ({ ...token, seq: events.length + n + 1, at: token.at + n * 0.01 })));
  const began = performance.now();
  for (let n = 0; n < 50; n += 1) tape.at((n * 7919) % tape.count);
  expect((performance.now() - began) / 50).toBeLessThan(100);
}, 60_000);

describe.each(logs)("%s", (_, events) => {
  const filters: Filter[] = [
    ALL,
    { ...ALL, family: "token" },
    { ...ALL, type: "turn.completed" },
    { ...ALL, stage: "" },
    { ...ALL, stage: events.find((event) => event.stage)?.stage ?? "none" },
    { ...ALL, turn: 1, agent: "research" },
  ];

  test("the filter that goes on finds what a filter of all finds", () => {
    const going = new Filtered();
    for (const filter of filters) {
      for (let count = 0; count <= events.length; count += 5) {
        const expected = events.slice(0, count).flatMap((event, place) => (fits(event, filter) ? [place] : []));
        expect(going.of(events, filter, count)).toEqual(expected);
      }
      const back = Math.floor(events.length / 2);
      expect(going.of(events, filter, back)).toEqual(events.slice(0, back).flatMap((event, place) => (fits(event, filter) ? [place] : [])));
    }
  });

  test("every turn and every call that ran has a bar, in lines without overlaps, at every moment", () => {
    for (let count = 1; count <= events.length; count += 3) {
      const view = events.slice(0, count).reduce(reduce, EMPTY);
      const { from, to, rows, marks } = timelineOf(view, view.last_at);
      const bars = rows.flatMap((row) => [...row.band, ...row.lines.flat()]);
      const lanes = [...view.agents, ...view.stages];
      expect(bars.filter((bar) => bar.kind === "turn").length).toBe(lanes.reduce((sum, lane) => sum + lane.turns.length, 0));
      expect(bars.filter((bar) => bar.kind === "call").length).toBe(lanes.reduce((sum, lane) => sum + lane.calls.filter((call) => call.started_at !== null).length, 0));
      expect(new Set(bars.map((bar) => bar.id)).size).toBe(bars.length);
      expect(bars.every((bar) => bar.from >= from && (bar.to ?? to) <= to && (bar.to ?? to) >= bar.from)).toBe(true);
      for (const line of rows.flatMap((row) => row.lines)) expect(overlaps(line, to)).toEqual([]);
      expect(marks.filter((mark) => mark.kind === "takeover").length).toBe(Math.max(0, view.owners.length - 1));
      expect(to).toBeGreaterThan(from);
    }
  });
});

function overlaps(line: readonly Bar[], to: number): string[] {
  return line.flatMap((bar, n) => {
    const next = line[n + 1];
    return next && (bar.to ?? to) > next.from ? [`${bar.id} | ${next.id}`] : [];
  });
}

test("the axis has round moments, about as many as wished for", () => {
  expect(ticks(10, 5)).toEqual([0, 2, 4, 6, 8, 10]);
  expect(ticks(90, 6)).toEqual([0, 15, 30, 45, 60, 75, 90]);
  for (const seconds of [0.004, 0.3, 1, 59, 61, 3599, 100_000, 900_000]) {
    expect(ticks(seconds, 7).length).toBeLessThanOrEqual(8);
    expect(ticks(seconds, 7).length).toBeGreaterThan(1);
  }
});

test("an event is shown whole but for what is very long", () => {
  const event = { ...(logs[0]?.[1][0] as RunEvent), data: { text: "x".repeat(5000), list: Array.from({ length: 9 }, () => "y".repeat(3000)) } } as unknown as RunEvent;
  const text = pretty(event, 4000, 20_000);
  expect(text).toContain("(1000 more characters)");
  expect(text.length).toBeLessThan(20_100);
  expect(JSON.parse(pretty(logs[0]?.[1][0] as RunEvent))).toEqual(logs[0]?.[1][0]);
});
