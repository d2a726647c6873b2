// Follows a run with the published EventSource, as a page does: node follow.mjs URL
// Says each event as `{"id", "type", "event"}` (one line each), `{"error": code}` for each error, `{"closed": true}` at the end.
import { EventSource } from "eventsource";

const [url] = process.argv.slice(2);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const source = new EventSource(url);

const alive = setInterval(() => {}, 60_000); // its own timer does not keep a program going

source.onopen = () => say({ open: true });
for (const family of ["token", "object", "status", "error", "system"]) {
  source.addEventListener(family, (message) => {
    if (message.data === undefined) return; // EventSource's own "error", which shares its name with a family
    say({ id: message.lastEventId, event: family, type: JSON.parse(message.data).type });
  });
}
source.addEventListener("error", (error) => {
  if (error.data !== undefined) return;
  say({ error: error.code ?? null });
  if (source.readyState !== EventSource.CLOSED) return;
  say({ closed: true });
  clearInterval(alive);
});
