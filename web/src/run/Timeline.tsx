/** The waterfall. One tab stop: arrows go from bar to bar, Enter keeps one's details open. */

import { ZoomIn, ZoomOut } from "lucide-react";
import { memo, useMemo, useRef, useState } from "react";
import { Button } from "react-aria-components";

import type { Bar, Mark, Row, Timeline as Drawn } from "./timeline";
import { span, ticks } from "./timeline";

interface Props {
  timeline: Drawn;
  /** What is shown below, in seconds since the epoch; null: the end. */
  playhead: number | null;
  chosen: string | null;
  /** A bar under the pointer or with the focus; null: none any more. */
  onLook: (bar: Bar | null) => void;
  onChoose: (bar: Bar) => void;
  onSeek: (at: number) => void;
}

const ZOOMS = [1, 2, 4, 8, 16];

export function Timeline({ timeline, playhead, chosen, onLook, onChoose, onSeek }: Props) {
  const [zoom, setZoom] = useState(0);
  const scale = ZOOMS[zoom] ?? 1;
  const { from, to } = timeline;
  const part = (at: number) => `${Math.min(100, Math.max(0, ((at - from) / (to - from)) * 100))}%`;
  return (
    <section className="card timeline" aria-label="Timeline">
      <div className="timeline-head">
        <h2 className="grow">Timeline</h2>
        <Legend />
        <Button className="button button-quiet button-icon button-small" aria-label="Zoom out" isDisabled={zoom === 0} onPress={() => setZoom(zoom - 1)}>
          <ZoomOut size={16} aria-hidden />
        </Button>
        <Button className="button button-quiet button-icon button-small" aria-label="Zoom in" isDisabled={zoom === ZOOMS.length - 1} onPress={() => setZoom(zoom + 1)}>
          <ZoomIn size={16} aria-hidden />
        </Button>
      </div>
      <div className="timeline-scroll">
        <div className="timeline-inner" style={{ inlineSize: `calc(${scale * 100}% - 2rem)` }}>
          <Axis seconds={to - from} wanted={7 * scale} onSeek={(share) => onSeek(from + share * (to - from))} />
          <Rows timeline={timeline} chosen={chosen} onLook={onLook} onChoose={onChoose} />
          {playhead !== null && <div className="playhead" style={{ insetInlineStart: part(playhead) }} />}
        </div>
      </div>
    </section>
  );
}

function Legend() {
  return (
    <ul className="legend tiny muted" aria-hidden>
      <li className="legend-turn">model</li>
      <li className="legend-call">tool</li>
      <li className="legend-withdrawn">withdrawn</li>
      <li className="legend-bad">failed</li>
      <li className="legend-takeover">takeover</li>
    </ul>
  );
}

function Axis({ seconds, wanted, onSeek }: { seconds: number; wanted: number; onSeek: (share: number) => void }) {
  return (
    <div
      className="axis tiny tabular"
      aria-hidden
      onClick={(event) => {
        const box = event.currentTarget.getBoundingClientRect();
        onSeek((event.clientX - box.left) / box.width);
      }}
    >
      {ticks(seconds, wanted).map((at) => (
        <span key={at} className="tick" style={{ insetInlineStart: `${(at / seconds) * 100}%` }}>
          {at === 0 ? "0" : span(at)}
        </span>
      ))}
    </div>
  );
}

type RowsProps = Pick<Props, "timeline" | "chosen" | "onLook" | "onChoose">;

const Rows = memo(function Rows({ timeline, chosen, onLook, onChoose }: RowsProps) {
  const box = useRef<HTMLDivElement>(null);
  const [current, setCurrent] = useState<string | null>(null);
  const order = useMemo(() => timeline.rows.flatMap((row) => [...row.band, ...row.lines.flat()]), [timeline]);
  const stop = order.some((bar) => bar.id === current) ? current : (order[0]?.id ?? null);
  const move = (event: React.KeyboardEvent) => {
    const place = order.findIndex((bar) => bar.id === stop);
    const next = { ArrowRight: place + 1, ArrowDown: place + 1, ArrowLeft: place - 1, ArrowUp: place - 1, Home: 0, End: order.length - 1 }[event.key];
    const bar = next === undefined ? undefined : order[Math.min(order.length - 1, Math.max(0, next))];
    if (bar === undefined) return;
    event.preventDefault();
    setCurrent(bar.id);
    box.current?.querySelector<HTMLElement>(`[data-bar="${CSS.escape(bar.id)}"]`)?.focus();
  };
  const shown = { timeline, chosen, stop, onLook, onChoose, onFocus: setCurrent };
  return (
    <div ref={box} role="listbox" aria-label="Steps, turns and tools" aria-orientation="horizontal" onKeyDown={move} onPointerLeave={() => onLook(null)}>
      {timeline.rows.map((row) => (
        <RowLines key={row.id} row={row} {...shown} />
      ))}
      {timeline.marks.map((mark) => mark.row === null && <MarkLine key={mark.id} mark={mark} timeline={timeline} />)}
    </div>
  );
});

interface RowProps extends RowsProps {
  row: Row;
  stop: string | null;
  onFocus: (id: string) => void;
}

function RowLines({ row, timeline, chosen, stop, onLook, onChoose, onFocus }: RowProps) {
  const whole = row.band.at(-1) ?? null;
  const box = (bar: Bar) => (
    <BarBox key={bar.id} bar={bar} timeline={timeline} chosen={chosen === bar.id} stop={stop === bar.id} onLook={onLook} onChoose={onChoose} onFocus={onFocus} />
  );
  return (
    <div className="lane" role="group" aria-label={row.title}>
      <p className="lane-head tiny" aria-hidden onPointerEnter={() => onLook(whole)} onClick={() => whole && onChoose(whole)}>
        <span className={`lane-dot tone-${row.tone ?? "wait"}`} />
        <span className="lane-title truncate">{row.title}</span>
        <span className="muted truncate">{row.subtitle}</span>
      </p>
      <div className="lines">
        <div className="band">{row.band.map(box)}</div>
        {row.lines.map((line) => (
          <div key={line[0]?.id} className="line">
            {line.map(box)}
          </div>
        ))}
      </div>
      {timeline.marks.map((mark) => mark.row === row.id && <MarkLine key={mark.id} mark={mark} timeline={timeline} />)}
    </div>
  );
}

interface BarProps {
  bar: Bar;
  timeline: Drawn;
  chosen: boolean;
  stop: boolean;
  onLook: (bar: Bar | null) => void;
  onChoose: (bar: Bar) => void;
  onFocus: (id: string) => void;
}

function BarBox({ bar, timeline, chosen, stop, onLook, onChoose, onFocus }: BarProps) {
  const length = timeline.to - timeline.from;
  const begin = (bar.from - timeline.from) / length;
  const end = ((bar.to ?? timeline.to) - timeline.from) / length;
  const words = [bar.title, `begins after ${span(bar.from - timeline.from)}`, ...bar.facts.map(([name, fact]) => `${name}: ${fact}`)].join(", ");
  return (
    <div
      className={`bar-box bar-${bar.kind} tone-${bar.tone}`}
      style={{ insetInlineStart: `${begin * 100}%`, inlineSize: `${Math.max(0, end - begin) * 100}%` }}
      data-bar={bar.id}
      data-chosen={chosen || undefined}
      role="option"
      aria-selected={chosen}
      aria-label={words}
      tabIndex={stop ? 0 : -1}
      onPointerEnter={() => onLook(bar)}
      onFocus={() => {
        onFocus(bar.id);
        onLook(bar);
      }}
      onBlur={() => onLook(null)}
      onClick={() => onChoose(bar)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        onChoose(bar);
      }}
    >
      <span className="bar-label">{bar.label}</span>
    </div>
  );
}

function MarkLine({ mark, timeline }: { mark: Mark; timeline: Drawn }) {
  const at = ((mark.at - timeline.from) / (timeline.to - timeline.from)) * 100;
  return <span className={`mark mark-${mark.kind}`} style={{ insetInlineStart: `${at}%` }} role="img" aria-label={mark.words} title={mark.words} />;
}
