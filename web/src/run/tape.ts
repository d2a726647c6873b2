/**
 * All events of a run, and the run as it was after any number of them. The fold is kept at every `EVERY`th event, so that
 * going back costs at most that many steps, however long the run was.
 */
import { EMPTY, reduce, type RunEvent, type RunView } from "../headrace";

export const EVERY = 512;

export class Tape {
  readonly events: RunEvent[] = [];
  /** The fold after `EVERY * index` events. */
  private readonly kept: RunView[] = [EMPTY];
  /** Seconds since the first event, of each event; they never go back, even where clocks of publishers differ. */
  private readonly times: number[] = [];
  /** The newest. */
  private end: RunView = EMPTY;
  /** The place asked for last: the next one is often right after it. */
  private near = { count: 0, view: EMPTY };

  /** Takes in what follows. */
  push(events: readonly RunEvent[]): void {
    for (const event of events) {
      this.end = reduce(this.end, event);
      this.events.push(event);
      const since = event.at - (this.events[0]?.at ?? event.at);
      this.times.push(Math.max(since, this.times.at(-1) ?? 0));
      if (this.events.length % EVERY === 0) this.kept.push(this.end);
    }
  }

  get count(): number {
    return this.events.length;
  }

  /** The run as far as it is known. */
  get view(): RunView {
    return this.end;
  }

  /** When the first event was made, in seconds since the epoch. */
  get begin(): number {
    return this.events[0]?.at ?? 0;
  }

  /** Seconds from the first event to the last. */
  get length(): number {
    return this.times.at(-1) ?? 0;
  }

  /** The run after its first `count` events. */
  at(count: number): RunView {
    if (count >= this.count) return this.end;
    const place = Math.floor(count / EVERY);
    const from = this.near.count <= count && this.near.count >= place * EVERY ? this.near : { count: place * EVERY, view: this.kept[place] ?? EMPTY };
    const view = this.events.slice(from.count, count).reduce(reduce, from.view);
    this.near = { count, view };
    return view;
  }

  /** How many events there were `seconds` after the first. */
  countAt(seconds: number): number {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.times[middle] ?? 0) <= seconds) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Seconds after the first event when the event of that number (1, 2, 3 …) was made. */
  timeOf(count: number): number {
    return this.times[Math.min(count, this.count) - 1] ?? 0;
  }
}
