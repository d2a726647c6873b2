/** A run as it happens: planning, plan, steps side by side, what it asks people, and the answer. */

import { useEffect, useMemo, useState } from "react";

import type { CitationView, RunView } from "../headrace";
import { isOver, openApprovals } from "../headrace";
import { Notice } from "../ui/Notice";
import { Answer } from "./Answer";
import { Approvals } from "./Approvals";
import { Question } from "./Exchange";
import { milestone } from "./milestone";
import { RunBar } from "./RunBar";
import "./run.css";
import { RunEnd } from "./RunEnd";
import { SourceDrawer, type Shown } from "./SourceDrawer";
import { type Followed, useRun } from "./useRun";
import { Work } from "./Work";

interface Props {
  runId: string;
  /** Known before the first event. */
  question: string;
  onTitle: (title: string) => void;
  onChange: () => void;
}

/** Opens a source of some citations. */
export type ShowSource = (citations: readonly CitationView[], sourceId: string, of: string) => void;

export function Run({ runId, question, onTitle, onChange }: Props) {
  return <RunPicture {...useRun(runId)} question={question} onTitle={onTitle} onChange={onChange} />;
}

/** The same of a view that somebody else has folded. */
export function RunPicture({ view, connection, refused, question, onTitle, onChange }: Followed & Omit<Props, "runId">) {
  const [source, setSource] = useState<Shown | null>(null);
  const over = isOver(view);
  const show: ShowSource = useMemo(() => (citations, sourceId, of) => setSource({ citations, sourceId, of }), []);
  useEffect(() => {
    if (view.title) onTitle(view.title);
  }, [view.title, onTitle]);
  useEffect(onChange, [over, view.state === "waiting", view.title, onChange]);
  return (
    <article className="exchange" aria-label={view.question || question} aria-busy={!over}>
      <Question text={view.question || question} at={view.created_at} resumed={view.resumed_from !== null} attached={names(view)} />
      <Live view={view} />
      {refused && <Notice kind="bad">{refused}</Notice>}
      {view.last_seq > 0 && (
        <div className="run">
          <RunBar view={view} connection={connection} />
          <Work view={view} onSource={show} />
          {openApprovals(view).length > 0 && <Approvals view={view} />}
          <Answer view={view} onSource={show} />
          {over && <RunEnd view={view} />}
        </div>
      )}
      <SourceDrawer shown={source} onClose={() => setSource(null)} />
    </article>
  );
}

function names(view: RunView): string[] {
  return view.attachments.map(({ name, type }) => name || type);
}

/** Says each milestone once to those who listen; never single words of an answer. */
function Live({ view }: { view: RunView }) {
  return (
    <p className="visually-hidden" role="status" aria-live="polite">
      {milestone(view)}
    </p>
  );
}
