/** One step: what its agent says and does, as it does it, and what a person can tell it. */

import { ChevronRight, MessageSquarePlus, Square } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";

import * as api from "../api/headrace";
import type { RunView, StageView } from "../headrace";
import { isOver } from "../headrace";
import { duration } from "../ui/format";
import { Markdown, Sources } from "../ui/Markdown";
import { Notice } from "../ui/Notice";
import { useActing } from "./acting";
import { opener, SourceList } from "./Answer";
import { StatusIcon } from "./PlanCard";
import { RecoveryNotes } from "./RecoveryNotes";
import type { ShowSource } from "./Run";
import { Steer } from "./Steer";
import { Turns } from "./Turns";
import { useAction } from "./useAction";

interface Props {
  view: RunView;
  stage: StageView;
  onSource: ShowSource;
}

export function StageCard({ view, stage, onSource }: Props) {
  const [open, setOpen] = useState(true);
  const acting = useActing();
  const running = !isOver(view) && (stage.status === "running" || stage.status === "dispatched");
  return (
    <section className={`card stage stage-${stage.status}`} aria-label={stage.title}>
      <div className="stage-head">
        <StatusIcon status={stage.status} />
        <Button className="stage-title" aria-expanded={open} onPress={() => setOpen(!open)}>
          <h3>{stage.title}</h3>
          <ChevronRight size={15} aria-hidden className="chevron" data-open={open || undefined} />
        </Button>
      </div>
      <p className="tiny muted stage-facts">{facts(stage)}</p>
      {running && acting && <Controls view={view} stage={stage} />}
      {open && (
        <Body growing={running}>
          <RecoveryNotes view={view} stage={stage.id} />
          <Sources value={(id) => opener(stage.citations, id, stage.title, onSource)}>
            <Turns lane={stage} whole={stage.output} />
            {stage.output !== null && <Markdown text={stage.output} />}
          </Sources>
          {stage.status === "dispatched" && <p className="muted small pulse">An agent is about to begin …</p>}
          {stage.skipped && <p className="muted small">Skipped: {stage.skipped}</p>}
          {stage.error && stage.status === "failed" && (
            <Notice kind="bad">
              {stage.error.message} <span className="tiny muted">({stage.error.code})</span>
            </Notice>
          )}
          {stage.partial && <Notice kind="warn">This step ended at a limit; this is what it had by then.</Notice>}
          <SourceList citations={stage.citations} onOpen={(id) => onSource(stage.citations, id, stage.title)} />
        </Body>
      )}
    </section>
  );
}

function facts(stage: StageView): string {
  const said = [stage.agent];
  const model = stage.turns.at(-1)?.model;
  if (model) said.push(model);
  if (stage.started_at !== null && stage.ended_at !== null) said.push(duration(stage.ended_at - stage.started_at));
  if (stage.carried_from) said.push("carried over from an earlier run");
  return said.join(" · ");
}

/** What a step says, in a box of limited height that follows the text while it grows. */
function Body({ growing, children }: { growing: boolean; children: React.ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  useEffect(() => {
    const outer = box.current;
    if (growing && outer && stuck.current) outer.scrollTop = outer.scrollHeight;
  });
  const scrolled = () => {
    const outer = box.current;
    if (outer) stuck.current = outer.scrollHeight - outer.scrollTop - outer.clientHeight < 48;
  };
  return (
    <div className="stage-body" ref={box} onScroll={scrolled} tabIndex={0} role="group" aria-label="What it says">
      {children}
    </div>
  );
}

function Controls({ view, stage }: { view: RunView; stage: StageView }) {
  const [telling, setTelling] = useState(false);
  const { busy, problem, act } = useAction();
  return (
    <div className="stage-controls">
      <div className="row">
        <Button className="button button-small" aria-expanded={telling} onPress={() => setTelling(!telling)}>
          <MessageSquarePlus size={14} aria-hidden /> Tell it
        </Button>
        <Button
          className="button button-small"
          isDisabled={busy}
          onPress={() => void act(() => api.say(view.run_id, { type: "cancel_stage", stage: stage.id }))}
        >
          <Square size={13} aria-hidden /> End this step
        </Button>
      </div>
      {telling && <Steer run={view.run_id} stage={stage.id} onDone={() => setTelling(false)} />}
      {problem && <Notice kind="bad">{problem}</Notice>}
      <Said view={view} stage={stage.id} />
    </div>
  );
}

/** What people told this step, and whether its agent has read it. */
function Said({ view, stage }: { view: RunView; stage: string }) {
  const said = view.inputs.filter((input) => input.kind === "message" && (input.stage === null || input.stage === stage));
  if (said.length === 0) return null;
  return (
    <ul className="said tiny">
      {said.map((input) => (
        <li key={input.input}>
          “{input.text}” <span className="muted">{input.delivered.some((to) => to.stage === stage) ? "read" : "will be read at the next turn"}</span>
        </li>
      ))}
    </ul>
  );
}
