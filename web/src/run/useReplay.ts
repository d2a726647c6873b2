/** Where in a run one is: at its end, live, or at some moment before, moving or not. */

import { useCallback, useEffect, useRef, useState } from "react";

import type { Tape } from "./tape";

export type Speed = 1 | 10;

export interface Replay {
  /** Events that are shown. */
  count: number;
  /** Seconds after the first event. */
  time: number;
  /** At the end, and staying there while the run goes on. */
  atEnd: boolean;
  playing: boolean;
  speed: Speed;
  /** Seconds of playing until the next event; null when nothing is played. */
  nextIn: number | null;
  setSpeed: (speed: Speed) => void;
  /** Goes on from here, or from the beginning when it is at the end; or stops. */
  toggle: () => void;
  seek: (time: number) => void;
  /** To the event of that number. */
  seekTo: (count: number) => void;
  toEnd: () => void;
}

export function useReplay(tape: Tape, known: number): Replay {
  /** null: at the end. */
  const [time, setTime] = useState<number | null>(null);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>(10);
  const now = useRef<number | null>(null);
  const put = useCallback((value: number | null) => {
    now.current = value;
    setTime(value);
  }, []);
  useEffect(() => {
    if (!playing) return undefined;
    let last = performance.now();
    let frame = requestAnimationFrame(function step(at) {
      const next = (now.current ?? 0) + (Math.max(0, at - last) / 1000) * speed;
      last = at;
      if (next >= tape.length) {
        put(null);
        setPlaying(false);
        return;
      }
      put(next);
      frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing, speed, tape, put]);
  useEffect(() => {
    put(null);
    setPlaying(false);
  }, [tape, put]);
  const count = time === null ? known : tape.countAt(time);
  const seek = useCallback((value: number) => put(value >= tape.length ? null : Math.max(0, value)), [put, tape]);
  return {
    count,
    time: time ?? tape.length,
    atEnd: time === null,
    playing,
    speed,
    nextIn: playing && time !== null ? (tape.timeOf(count + 1) - time) / speed : null,
    setSpeed,
    toggle: useCallback(() => {
      if (now.current === null) put(0);
      setPlaying((before) => !before);
    }, [put]),
    seek,
    seekTo: useCallback(
      (wanted: number) => {
        setPlaying(false);
        if (wanted >= tape.count) put(null);
        else put(tape.timeOf(Math.max(1, wanted)));
      },
      [put, tape],
    ),
    toEnd: useCallback(() => {
      setPlaying(false);
      put(null);
    }, [put]),
  };
}
