/** One run under a magnifying glass: its timeline, every event, and the run itself as it was at any moment. */

import { MessagesSquare } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";

import { Acting } from "../conversation/acting";
import { RunPicture } from "../conversation/Run";
import { isOver } from "../headrace";
import { href } from "../routes";
import { moment } from "../ui/format";
import { Notice } from "../ui/Notice";
import { Details } from "./Details";
import { Events } from "./Events";
import { ALL, type Filter } from "./filter";
import { Fork } from "./Fork";
import "../ui/figures.css";
import "./run-view.css";
import { Timeline } from "./Timeline";
import { type Bar, timelineOf } from "./timeline";
import { Transport } from "./Transport";
import { useReplay } from "./useReplay";
import { useTape } from "./useTape";

export default function RunView({ run }: { run: string }) {
  const { tape, count, connection, refused } = useTape(run);
  const replay = useReplay(tape, count);
  const newest = tape.view;
  const over = isOver(newest);
  const now = useNow(!over && count > 0);
  const timeline = useMemo(() => timelineOf(newest, now), [newest, now]);
  const view = useMemo(() => tape.at(replay.count), [tape, replay.count, count]);
  const [looked, setLooked] = useState<Bar | null>(null);
  const [chosen, setChosen] = useState<Bar | null>(null);
  const [filter, setFilter] = useState<Filter>(ALL);
  const events = useRef<HTMLDivElement>(null);
  const title = newest.title ?? newest.question;
  useEffect(() => {
    document.title = title ? `${title} · run · Headrace` : "Run · Headrace";
  }, [title]);
  const seek = (at: number) => replay.seek(at - tape.begin);
  const showEvents = (bar: Bar) => {
    setFilter({ ...ALL, ...bar.place, agent: bar.place.stage === null ? bar.place.agent : null });
    events.current?.scrollIntoView({ block: "nearest" });
  };
  if (refused !== null && count === 0) {
    return (
      <div className="run-view">
        <Notice kind="bad">{refused}</Notice>
      </div>
    );
  }
  return (
    <div className="run-view">
      <header className="run-view-head">
        <div className="grow">
          <h1>{title || "Run"}</h1>
          <p className="tiny muted row row-wrap">
            <span className="mono">{run}</span>
            {count > 0 && <time dateTime={new Date(newest.created_at * 1000).toISOString()}>{moment(newest.created_at)}</time>}
            {newest.resumed_from && <a href={href({ view: "run", run: newest.resumed_from })}>goes on from another run</a>}
            {newest.conversation_id && (
              <a className="row" href={href({ view: "conversation", conversation: newest.conversation_id, run })}>
                <MessagesSquare size={13} aria-hidden /> its conversation
              </a>
            )}
          </p>
        </div>
        <Fork view={newest} />
      </header>
      {count === 0 && <p className="loading muted">Loading …</p>}
      {count > 0 && (
        <>
          <Timeline
            timeline={timeline}
            playhead={replay.atEnd ? null : tape.begin + replay.time}
            chosen={chosen?.id ?? null}
            onLook={setLooked}
            onChoose={(bar) => setChosen(bar.id === chosen?.id ? null : bar)}
            onSeek={seek}
          />
          <Details bar={looked ?? chosen} begin={tape.begin} onSeek={seek} onEvents={showEvents} />
          <Transport tape={tape} count={count} replay={replay} live={!over} />
          <div className="run-view-panes">
            <section className="run-view-then" aria-label={replay.atEnd ? "The run" : "The run as it was then"}>
              <h2 className="visually-hidden">{replay.atEnd ? "The run" : "The run as it was then"}</h2>
              {!replay.atEnd && <p className="tiny muted then-note">As it was after {replay.count} of {count} events.</p>}
              <Acting value={replay.atEnd}>
                <RunPicture view={view} connection={connection} refused={refused} question="" onTitle={nothing} onChange={nothing} />
              </Acting>
            </section>
            <div className="run-view-events" ref={events}>
              <Events tape={tape} count={replay.count} stages={newest.stages} filter={filter} onFilter={setFilter} />
            </div>
          </div>
        </>
      )}
    </div>
  );
}

const nothing = () => undefined;

/** Seconds since the epoch, once a second while `ticking`. */
function useNow(ticking: boolean): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    if (!ticking) return undefined;
    const timer = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}
