/** Numbers and times in words for people. */

const EN = "en";
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** Seconds since the epoch: the time today, else the date. */
export function when(at: number, now = Date.now() / 1000): string {
  const then = new Date(at * 1000);
  return then.toDateString() === new Date(now * 1000).toDateString() ? clock.format(then) : day.format(then);
}

/** Seconds since the epoch, whole. */
export function moment(at: number): string {
  return full.format(new Date(at * 1000));
}

/** A span of seconds: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** US dollars, with as many digits as say something. */
export function usd(amount: number): string {
  if (amount === 0) return "$0";
  if (amount < 0.0001) return "< $0.0001";
  return `$${amount < 1 ? amount.toPrecision(2) : amount.toFixed(2)}`;
}

/** A count: `950`, `12.3k`, `1.2M`. */
export function count(n: number): string {
  return new Intl.NumberFormat(EN, { notation: "compact", maximumFractionDigits: 1 }).format(n);
}

/** `1 step`, `2 steps`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}
