/** Steps in layers: each layer needs only what stands in those before it, so its steps may run side by side. */
export function levels<T extends { readonly id: string; readonly depends_on: readonly string[] }>(steps: readonly T[]): readonly (readonly T[])[] {
  const depth = depths(steps);
  const layers: T[][] = [];
  for (const step of steps) (layers[depth.get(step.id) ?? 0] ??= []).push(step);
  return layers.map((layer) => layer ?? []).filter((layer) => layer.length > 0);
}

function depths(steps: readonly { readonly id: string; readonly depends_on: readonly string[] }[]): Map<string, number> {
  const depth = new Map<string, number>();
  // A plan has no circle, so as many rounds as it has steps settle every depth.
  for (let round = 0; round < steps.length; round += 1) {
    for (const step of steps) {
      depth.set(step.id, Math.max(0, ...step.depends_on.map((id) => (depth.has(id) ? (depth.get(id) ?? 0) + 1 : 0))));
    }
  }
  return depth;
}
