import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { Button } from "react-aria-components";

import type { CitationView, RunView, StageView } from "../headrace";
import { Markdown, Sources } from "../ui/Markdown";
import { Notice } from "../ui/Notice";
import type { ShowSource } from "./Run";

/** The run's answer, once there is one. Each final step keeps its own sources: `[1]` means another one in each. */
export function Answer({ view, onSource }: { view: RunView; onSource: ShowSource }) {
  if (view.state !== "completed") return null;
  const parts = partsOf(view);
  return (
    <section className="answer" aria-label="Answer">
      {view.stopped && <Notice kind="warn">{sentence(view.stopped)}</Notice>}
      {parts.map((part) => (
        <div key={part.key} className="answer-part">
          {parts.length > 1 && <h3>{part.title}</h3>}
          <Sources value={(id) => opener(part.citations, id, part.title, onSource)}>
            <Markdown text={part.text} />
          </Sources>
          {part.citations.length > 0 && <SourceList citations={part.citations} onOpen={(id) => onSource(part.citations, id, part.title)} />}
        </div>
      ))}
      {view.answer !== null && view.answer !== "" && (
        <div className="row answer-foot">
          <CopyButton text={view.answer} />
          {view.note && <span className="tiny muted">{view.note}</span>}
        </div>
      )}
    </section>
  );
}

interface Part {
  key: string;
  title: string;
  text: string;
  citations: readonly CitationView[];
}

/** The answer by the steps that made it, when they add up to it; else as one piece. */
export function partsOf(view: RunView): readonly Part[] {
  const answer = view.answer ?? "";
  if (answer === "") return [];
  const needed = new Set(view.stages.flatMap((stage) => stage.depends_on));
  const finals = view.stages.filter((stage) => !needed.has(stage.id) && stage.output !== null);
  const joined = finals.map((stage) => stage.output).join("\n\n");
  if (finals.length > 0 && joined === answer) return finals.map(part);
  const same = view.stages.find((stage) => stage.output === answer);
  return same ? [part(same)] : [{ key: "answer", title: "Answer", text: answer, citations: [] }];
}

function part(stage: StageView): Part {
  return { key: stage.id, title: stage.title, text: stage.output ?? "", citations: stage.citations };
}

/** What opens that source; undefined when there is none of that name. */
export function opener(citations: readonly CitationView[], id: string, of: string, show: ShowSource): (() => void) | undefined {
  return citations.some((citation) => citation.source_id === id) ? () => show(citations, id, of) : undefined;
}

export function SourceList({ citations, onOpen }: { citations: readonly CitationView[]; onOpen: (id: string) => void }) {
  return (
    <ul className="source-list" aria-label="Sources">
      {citations.map((citation) => (
        <li key={citation.source_id}>
          <button type="button" className="source-chip" onClick={() => onOpen(citation.source_id)}>
            <span className="source-mark">{citation.source_id}</span>
            <span className="truncate">{citation.title}</span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function CopyButton({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null; // only a secure page may write there
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <Button className="button button-quiet button-small" onPress={() => void copy()}>
      {copied ? <Check size={15} aria-hidden /> : <Copy size={15} aria-hidden />} {copied ? "Copied" : "Copy"}
    </Button>
  );
}

function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
