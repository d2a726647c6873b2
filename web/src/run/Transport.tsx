/** Play, pause, speed, and the scrubber. */

import { ChevronLeft, ChevronRight, Pause, Play, Radio, SkipForward } from "lucide-react";
import { Button } from "react-aria-components";

import { duration } from "../ui/format";
import type { Tape } from "./tape";
import type { Replay, Speed } from "./useReplay";

/** A silence of the replay that is offered to be skipped, in seconds. */
const LONG_S = 3;

const SPEEDS: readonly Speed[] = [1, 10];

interface Props {
  tape: Tape;
  count: number;
  replay: Replay;
  /** The run goes on. */
  live: boolean;
}

export function Transport({ tape, count, replay, live }: Props) {
  const { time, playing, atEnd } = replay;
  const long = replay.nextIn !== null && replay.nextIn > LONG_S;
  return (
    <section className="card transport" aria-label="Replay">
      <div className="transport-line">
        <Button className="button button-icon" aria-label={playing ? "Pause" : atEnd ? "Replay from the beginning" : "Play"} onPress={replay.toggle}>
          {playing ? <Pause size={17} aria-hidden /> : <Play size={17} aria-hidden />}
        </Button>
        <div className="segments" role="group" aria-label="Speed">
          {SPEEDS.map((speed) => (
            <Button key={speed} className="segment" aria-pressed={replay.speed === speed} onPress={() => replay.setSpeed(speed)}>
              {speed}×
            </Button>
          ))}
        </div>
        <Button className="button button-quiet button-icon button-small" aria-label="One event back" isDisabled={replay.count <= 1} onPress={() => replay.seekTo(before(tape, replay.count))}>
          <ChevronLeft size={17} aria-hidden />
        </Button>
        <Button className="button button-quiet button-icon button-small" aria-label="One event on" isDisabled={atEnd} onPress={() => replay.seekTo(replay.count + 1)}>
          <ChevronRight size={17} aria-hidden />
        </Button>
        <input
          className="scrubber"
          type="range"
          min={0}
          max={Math.max(0.001, tape.length)}
          step="any"
          value={time}
          aria-label="Moment of the run"
          aria-valuetext={`${duration(time)} of ${duration(tape.length)}, ${replay.count} of ${count} events`}
          onChange={(event) => replay.seek(Number(event.target.value))}
          onKeyDown={(event) => stepped(event, replay, tape)}
        />
        <span className="tiny tabular muted transport-time">
          {duration(time)} / {duration(tape.length)}
        </span>
        <span className="tiny tabular muted transport-count" data-testid="position">
          {replay.count} / {count}
        </span>
        <Button className="button button-small" isDisabled={atEnd} onPress={replay.toEnd}>
          {live ? <Radio size={15} aria-hidden className={atEnd ? "live" : undefined} /> : <SkipForward size={15} aria-hidden />} {live ? "Live" : "End"}
        </Button>
      </div>
      {long && (
        <p className="small muted row">
          Nothing happens for {duration((replay.nextIn ?? 0) * replay.speed)}.
          <Button className="button button-small" onPress={() => replay.seek(tape.timeOf(replay.count + 1))}>
            Skip
          </Button>
        </p>
      )}
    </section>
  );
}

/** A range of any step does not move by keys as people expect: one second, or a tenth of the run. */
function stepped(event: React.KeyboardEvent, replay: Replay, tape: Tape): void {
  const page = Math.max(1, tape.length / 10);
  const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page }[event.key];
  if (by !== undefined) replay.seek(Math.max(0, replay.time + by));
  else if (event.key === "Home") replay.seek(0);
  else if (event.key === "End") replay.toEnd();
  else return;
  event.preventDefault();
}

/** The last event before the moment that event `count` is at: several may be made at once. */
function before(tape: Tape, count: number): number {
  const at = tape.timeOf(count);
  let place = count - 1;
  while (place > 1 && tape.timeOf(place) === at) place -= 1;
  return place;
}
