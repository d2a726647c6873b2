/** Where in the page one is, as the part of the address after `#`. The server knows nothing of it. */

import { useSyncExternalStore } from "react";

export type Route =
  | { view: "conversation"; conversation: string | null; run: string | null }
  | { view: "run"; run: string }
  | { view: "operations" };

/** The route an address's hash names; what it does not know is the beginning. */
export function parse(hash: string): Route {
  const parts = hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  if (parts[0] === "runs" && parts[1]) return { view: "run", run: parts[1] };
  if (parts[0] === "operations") return { view: "operations" };
  if (parts[0] === "conversations" && parts[1]) {
    return { view: "conversation", conversation: parts[1], run: parts[2] === "runs" ? (parts[3] ?? null) : null };
  }
  return { view: "conversation", conversation: null, run: null };
}

/** The hash of a route; what an `<a href>` takes. */
export function href(route: Route): string {
  if (route.view === "run") return `#/runs/${encodeURIComponent(route.run)}`;
  if (route.view === "operations") return "#/operations";
  if (route.conversation === null) return "#/";
  const conversation = `#/conversations/${encodeURIComponent(route.conversation)}`;
  return route.run === null ? conversation : `${conversation}/runs/${encodeURIComponent(route.run)}`;
}

/** Go there; `replace` leaves no step in the browser's history. */
export function go(route: Route, replace = false): void {
  if (!replace) {
    window.location.hash = href(route);
    return;
  }
  window.history.replaceState(null, "", href(route));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute(): Route {
  return parse(useSyncExternalStore(subscribe, () => window.location.hash));
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
