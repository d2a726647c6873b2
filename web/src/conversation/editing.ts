/** Changes of a plan that leave it a plan: no dependency on a step that is gone, none on a step that stands below. */

import type { PlanTodo } from "../api/types";

/** Without that step; what waited for it waits for what it waited for. */
export function dropped(todos: readonly PlanTodo[], id: string): PlanTodo[] {
  const gone = todos.find((todo) => todo.id === id);
  const instead = (todo: PlanTodo): PlanTodo => ({
    ...todo,
    depends_on: [...new Set(todo.depends_on.flatMap((other) => (other === id ? (gone?.depends_on ?? []) : [other])))],
  });
  return todos.filter((todo) => todo.id !== id).map((todo) => (todo.depends_on.includes(id) ? instead(todo) : todo));
}

/** With the step at `place` moved by `by`; of two steps that change places, the upper one no longer waits for the lower. */
export function moved(todos: readonly PlanTodo[], place: number, by: -1 | 1): PlanTodo[] {
  const result = [...todos];
  const [one, other] = [result[place], result[place + by]];
  if (!one || !other) return result;
  result[place] = other;
  result[place + by] = one;
  const [upper, lower] = by === -1 ? [one, other] : [other, one];
  const above = by === -1 ? place - 1 : place;
  result[above] = { ...upper, depends_on: upper.depends_on.filter((id) => id !== lower.id) };
  return result;
}

/** A new step at the end. */
export function fresh(todos: readonly PlanTodo[], agent: string): PlanTodo {
  const taken = new Set(todos.map((todo) => todo.id));
  let n = todos.length + 1;
  while (taken.has(`step-${n}`)) n += 1;
  return { id: `step-${n}`, title: "", agent, depends_on: [] };
}
