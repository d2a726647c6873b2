/** What people are asked, what they answer, and what they say unasked. */
import type { ApprovalGiven, ApprovalRequested, InputDelivered, InputReceived, Place } from "./events";
import { TERMINAL_TYPES } from "./events";
import type { ApprovalView, RunView } from "./state";

export function asked(view: RunView, place: Place, data: ApprovalRequested): RunView {
  const approval: ApprovalView = {
    approval: data.approval,
    kind: data.kind,
    what: data.what,
    stage: place.stage ?? null,
    agent: place.agent ?? null,
    call: place.call ?? null,
    call_id: data.call_id ?? null,
    name: data.name ?? null,
    arguments: data.arguments ?? null,
    reason: data.reason ?? "",
    options: data.options ?? [],
    arguments_hash: data.arguments_hash,
    requested_at: place.at,
    expires_at: data.expires_at,
    open: true,
    approved: null,
    text: "",
    by: null,
    answered_at: null,
    edited: false,
  };
  const index = view.approvals.findIndex((known) => known.approval === data.approval);
  const approvals = index < 0 ? [...view.approvals, approval] : view.approvals.map((known, i) => (i === index ? approval : known));
  return { ...view, approvals };
}

/** The first answer counts, and only to exactly what was asked. */
export function answered(view: RunView, data: ApprovalGiven, at: number): RunView {
  const approvals = view.approvals.map((known) => {
    const fits = known.approval === data.approval && known.answered_at === null && known.arguments_hash === data.arguments_hash;
    if (!fits) return known;
    const edited = data.plan !== null && data.plan !== undefined;
    return { ...known, approved: data.approved, text: data.text ?? "", by: data.by, answered_at: at, edited };
  });
  return { ...view, approvals };
}

export function spoken(view: RunView, place: Place, data: InputReceived): RunView {
  const said = { input: data.input ?? "", kind: data.kind ?? "message", text: data.text, by: data.by ?? "user" } as const;
  return { ...view, inputs: [...view.inputs, { ...said, stage: place.stage ?? null, at: place.at, delivered: [] }] };
}

export function delivered(view: RunView, place: Place, data: InputDelivered): RunView {
  const told = { stage: place.stage ?? null, at: place.at };
  const inputs = view.inputs.map((said) => (said.input === data.input ? { ...said, delivered: [...said.delivered, told] } : said));
  return { ...view, inputs };
}

/** The view with `open` of each approval as it is now: nobody need answer for a stage that is over. */
export function withOpen(view: RunView): RunView {
  const running = !TERMINAL_TYPES.has(`run.${view.state}`);
  const at_work = (id: string): boolean => {
    const status = view.stages.find((stage) => stage.id === id)?.status;
    return status === "dispatched" || status === "running";
  };
  const isOpen = (a: ApprovalView): boolean => running && a.answered_at === null && (a.stage === null || at_work(a.stage));
  if (view.approvals.every((a) => a.open === isOpen(a))) return view;
  return { ...view, approvals: view.approvals.map((a) => (a.open === isOpen(a) ? a : { ...a, open: isOpen(a) })) };
}
