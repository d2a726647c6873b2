/** What went wrong and was mended. */
import type { KnownEvent } from "./events";
import type { Counts, RecoveryView, RunView } from "./state";

type RecoveryEvent = Extract<KnownEvent, { type: `recovery.${string}` }>;

export function recovered(view: RunView, event: RecoveryEvent): RunView {
  const kind = kindOf(event);
  const one: RecoveryView = {
    seq: event.seq,
    at: event.at,
    stage: event.stage ?? null,
    agent: event.agent ?? null,
    turn: event.turn ?? null,
    call: event.call ?? null,
    type: event.type,
    kind,
    data: { ...DEFAULTS[event.type], ...event.data },
  };
  const inStage = event.stage != null;
  return {
    ...view,
    recoveries: counted(view.recoveries, kind),
    recovery_log: [...view.recovery_log, one],
    stages: view.stages.map((s) => (inStage && s.id === event.stage ? { ...s, recoveries: counted(s.recoveries, kind) } : s)),
    agents: view.agents.map((a) => (!inStage && a.name === event.agent ? { ...a, recoveries: counted(a.recoveries, kind) } : a)),
  };
}

/** What a recovery is counted as. */
function kindOf(event: RecoveryEvent): string {
  switch (event.type) {
    case "recovery.retrying":
      return `retrying:${event.data.failure}`;
    case "recovery.resumed":
      return `resumed:${event.data.reason}`;
    default:
      return event.type.slice("recovery.".length);
  }
}

const DEFAULTS: { readonly [T in RecoveryEvent["type"]]?: { readonly [field: string]: number } } = {
  "recovery.compacted": { shortened: 0, summarised: 0, tokens: 0 },
  "recovery.resumed": { tool_calls: 0 },
};

function counted(counts: Counts, kind: string): Counts {
  return { ...counts, [kind]: (Object.hasOwn(counts, kind) ? (counts[kind] ?? 0) : 0) + 1 };
}
