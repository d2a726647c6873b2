import { FileText } from "lucide-react";
import { useEffect, useRef } from "react";

import type { CitationView } from "../headrace";
import { Window } from "../ui/Dialog";

export interface Shown {
  citations: readonly CitationView[];
  sourceId: string;
  /** The step whose sources they are. */
  of: string;
}

/** The sources of an answer, the chosen one in view: where it stands, and its very words. */
export function SourceDrawer({ shown, onClose }: { shown: Shown | null; onClose: () => void }) {
  return (
    <Window title="Sources" isOpen={shown !== null} onClose={onClose} side="end">
      {shown && (
        <>
          <p className="muted small">What “{shown.of}” rests on.</p>
          <ol className="sources">
            {shown.citations.map((citation) => (
              <Source key={citation.source_id} citation={citation} chosen={citation.source_id === shown.sourceId} />
            ))}
          </ol>
        </>
      )}
    </Window>
  );
}

function Source({ citation, chosen }: { citation: CitationView; chosen: boolean }) {
  const place = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (chosen) place.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <li className="source" data-chosen={chosen || undefined} aria-current={chosen || undefined} ref={place}>
      <div className="row source-head">
        <span className="source-mark">{citation.source_id}</span>
        <h3>{citation.title}</h3>
      </div>
      <blockquote>{citation.quote}</blockquote>
      <p className="tiny muted row">
        <FileText size={13} aria-hidden />
        <span className="source-location">{citation.location}</span>
      </p>
    </li>
  );
}
