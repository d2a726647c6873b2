/** Every event of the run up to the moment shown. Only the rows in sight are drawn, so a hundred thousand cost no more. */

import { useEffect, useId, useMemo, useRef, useState } from "react";

import type { RunEvent } from "../headrace";
import { brief } from "./filter";
import { span } from "./timeline";

/** Height of a row in pixels; the style sheet says the same. */
const ROW = 28;
/** Rows drawn beyond what is in sight. */
const MORE = 12;

interface Props {
  events: readonly RunEvent[];
  /** The places of those that are listed. */
  places: readonly number[];
  begin: number;
  /** The number of the chosen event. */
  chosen: number | null;
  onChoose: (seq: number) => void;
}

export function EventList({ events, places, begin, chosen, onChoose }: Props) {
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(360);
  const atEnd = useRef(true);
  useEffect(() => {
    const outer = box.current;
    if (!outer) return undefined;
    const observer = new ResizeObserver(() => setHeight(outer.clientHeight));
    observer.observe(outer);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [places]);
  const first = Math.max(0, Math.min(places.length, Math.floor(top / ROW)) - MORE);
  const rows = places.slice(first, first + Math.ceil(height / ROW) + 2 * MORE);
  const index = useMemo(() => (chosen === null ? -1 : places.findIndex((place) => events[place]?.seq === chosen)), [chosen, places, events]);
  const move = (event: React.KeyboardEvent) => {
    const page = Math.max(1, Math.floor(height / ROW) - 1);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -places.length, End: places.length }[event.key];
    if (step === undefined || places.length === 0) return;
    event.preventDefault();
    const next = Math.min(places.length - 1, Math.max(0, (index < 0 ? first - 1 + MORE : index) + step));
    const there = events[places[next] ?? 0];
    if (there) onChoose(there.seq);
    const outer = box.current;
    if (!outer) return;
    if (next * ROW < outer.scrollTop) outer.scrollTop = next * ROW;
    if ((next + 1) * ROW > outer.scrollTop + outer.clientHeight) outer.scrollTop = (next + 1) * ROW - outer.clientHeight;
  };
  const scrolled = () => {
    const outer = box.current;
    if (!outer) return;
    setTop(outer.scrollTop);
    atEnd.current = outer.scrollHeight - outer.scrollTop - outer.clientHeight < ROW;
  };
  return (
    <div
      ref={box}
      className="events"
      role="listbox"
      aria-label={`Events, ${places.length}`}
      aria-activedescendant={index >= first && index < first + rows.length ? `${id}-${chosen}` : undefined}
      tabIndex={0}
      onScroll={scrolled}
      onKeyDown={move}
    >
      <div className="events-inner" role="presentation" style={{ blockSize: places.length * ROW }}>
        {rows.map((place, n) => {
          const event = events[place];
          return event === undefined ? null : (
            <div
              key={event.seq}
              id={`${id}-${event.seq}`}
              className={`event family-${event.family}`}
              role="option"
              aria-selected={event.seq === chosen}
              aria-posinset={first + n + 1}
              aria-setsize={places.length}
              style={{ insetBlockStart: (first + n) * ROW }}
              onClick={() => onChoose(event.seq)}
            >
              <span className="event-seq tabular">{event.seq}</span>
              <span className="event-at tabular">+{since(Math.max(0, event.at - begin))}</span>
              <span className="event-type">{event.type}</span>
              <span className="event-place truncate">{[event.stage ?? event.agent ?? "", event.turn ? `turn ${event.turn}` : ""].filter(Boolean).join(", ")}</span>
              <span className="event-brief truncate">{brief(event)}</span>
            </div>
          );
        })}
      </div>
      {places.length === 0 && <p className="small muted events-none">No event fits.</p>}
    </div>
  );
}

/** With as many digits in every row. */
function since(seconds: number): string {
  return seconds < 60 ? `${seconds.toFixed(2)} s` : span(seconds);
}
