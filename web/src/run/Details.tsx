/** What the chosen bar of the timeline is, and where to go from it. */

import { ListFilter, SkipBack } from "lucide-react";
import { Button } from "react-aria-components";

import { span, type Bar } from "./timeline";

interface Props {
  bar: Bar | null;
  begin: number;
  onSeek: (at: number) => void;
  onEvents: (bar: Bar) => void;
}

export function Details({ bar, begin, onSeek, onEvents }: Props) {
  if (bar === null) return <p className="details details-empty small muted">Point at a bar, or go to it with Tab and the arrow keys, to see what it is. Click on the time axis to see the run as it was then.</p>;
  return (
    <section className="details" aria-label="About the chosen bar">
      <div className="details-head">
        <h3 className="grow">{bar.title}</h3>
        <Button className="button button-small" onPress={() => onSeek(bar.from)}>
          <SkipBack size={14} aria-hidden /> To its beginning
        </Button>
        <Button className="button button-small" onPress={() => onEvents(bar)}>
          <ListFilter size={14} aria-hidden /> Its events
        </Button>
      </div>
      <dl className="details-facts small">
        <div>
          <dt>Began</dt>
          <dd className="tabular">after {span(bar.from - begin)}</dd>
        </div>
        {bar.facts.map(([name, words]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
