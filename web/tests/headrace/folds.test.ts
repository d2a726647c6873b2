/** The fold, held to tests/fixtures/folds: the same files that hold the Python client's fold to account. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { RunEvent, RunView } from "../../src/headrace";
import { EMPTY, EVENT_TYPES, reduce } from "../../src/headrace";

interface Fold {
  about: string;
  events: RunEvent[];
  /** The view after so many events. */
  views: { [after: string]: RunView };
}

const ROOM = new URL("../../../tests/fixtures/folds/", import.meta.url);
const FILES = readdirSync(ROOM).filter((name) => name.endsWith(".json"));
const folds = new Map(FILES.map((name) => [name, JSON.parse(readFileSync(new URL(name, ROOM), "utf8")) as Fold]));

/** As it would be sent: a key without a value is no key. */
const plain = (view: RunView): RunView => JSON.parse(JSON.stringify(view)) as RunView;

test("there are folds, and every type of event is in one of them", () => {
  expect(folds.size).toBeGreaterThan(20);
  const seen = new Set([...folds.values()].flatMap((fold) => fold.events.map((event) => event.type)));
  expect([...EVENT_TYPES].filter((type) => !seen.has(type))).toEqual([]);
});

describe.each([...folds])("%s", (_, fold) => {
  test("the view after each of the prefixes is the one in the file", () => {
    let view = EMPTY;
    const due = new Map(Object.entries(fold.views));
    fold.events.forEach((event, index) => {
      view = reduce(view, event);
      const expected = due.get(String(index + 1));
      if (expected !== undefined) expect(plain(view), `after ${index + 1} events`).toEqual(expected);
      due.delete(String(index + 1));
    });
    expect(due.size).toBe(0);
  });

  test("a view that was put away as JSON goes on to the same end", () => {
    const whole = plain(fold.events.reduce(reduce, EMPTY));
    for (let cut = 0; cut <= fold.events.length; cut += 7) {
      const first = plain(fold.events.slice(0, cut).reduce(reduce, EMPTY));
      expect(plain(fold.events.slice(cut).reduce(reduce, first))).toEqual(whole);
    }
  });

  test("events that come twice change nothing, and no view is changed in place", () => {
    const views = [EMPTY];
    for (const event of fold.events) views.push(deepFrozen(reduce(views.at(-1) as RunView, event)));
    const last = views.at(-1) as RunView;
    expect(fold.events.reduce(reduce, last)).toBe(last);
  });
});

test("a token leaves everything but its own turn the same objects", () => {
  const fold = [...folds.values()].find((f) => f.events.some((e) => e.type === "turn.delta" && e.stage != null)) as Fold;
  const at = fold.events.findIndex((e) => e.type === "turn.delta" && e.stage != null);
  const before = fold.events.slice(0, at).reduce(reduce, EMPTY);
  const event = fold.events[at] as RunEvent;
  const after = reduce(before, event);
  for (const name of ["agents", "approvals", "inputs", "customs", "usage", "budget", "recovery_log", "planned"] as const) {
    expect(after[name]).toBe(before[name]);
  }
  const touched = after.stages.filter((stage, index) => stage !== before.stages[index]);
  expect(touched.map((stage) => stage.id)).toEqual([event.stage]);
  expect(touched[0]?.calls).toBe(before.stages.find((stage) => stage.id === event.stage)?.calls);
});

function deepFrozen<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFrozen);
  }
  return value;
}
