/** One question with what became of it: live and whole, or only its answer until somebody wants to see more. */

import { GitFork, Paperclip } from "lucide-react";
import { useState } from "react";
import { Button } from "react-aria-components";

import type { ConversationRun } from "../api/types";
import { when } from "../ui/format";
import { Markdown } from "../ui/Markdown";
import { StateBadge } from "../ui/StateBadge";
import { Run } from "./Run";

interface Props {
  /** What the conversation knows of the run; null when it is too new. */
  known: ConversationRun | null;
  runId: string;
  live: boolean;
  onTitle: (title: string) => void;
  onChange: () => void;
}

export function Exchange({ known, runId, live, onTitle, onChange }: Props) {
  const [wanted, setWanted] = useState(false);
  if (live || wanted || known === null) {
    return <Run runId={runId} question={known?.question ?? ""} onTitle={onTitle} onChange={onChange} />;
  }
  return (
    <article className="exchange" aria-label={known.question}>
      <Question text={known.question} at={known.created_at} resumed={known.resumed_from !== null} />
      <div className="answer">
        {known.answer ? <Markdown text={known.answer} /> : <StateBadge state={known.state} />}
        <Button className="button button-quiet button-small more" onPress={() => setWanted(true)}>
          Steps and sources
        </Button>
      </div>
    </article>
  );
}

interface QuestionProps {
  text: string;
  /** When it was asked, in seconds since the epoch; null or 0: not known yet. */
  at: number | null;
  resumed: boolean;
  /** Names of what was attached. */
  attached?: readonly string[];
}

export function Question({ text, at, resumed, attached = [] }: QuestionProps) {
  return (
    <div className="question-row">
      <div className="question">
        <h2 className="visually-hidden">Question</h2>
        <p>{text}</p>
      </div>
      {attached.length > 0 && (
        <ul className="attached" aria-label="Attached">
          {attached.map((name, place) => (
            <li key={place} className="badge">
              <Paperclip size={12} aria-hidden />
              <span className="truncate">{name}</span>
            </li>
          ))}
        </ul>
      )}
      <p className="tiny muted row question-facts">
        {resumed && (
          <span className="row">
            <GitFork size={13} aria-hidden /> resumed
          </span>
        )}
        {at !== null && at > 0 && <time dateTime={new Date(at * 1000).toISOString()}>{when(at)}</time>}
      </p>
    </div>
  );
}
