/** Headrace's client for browsers: follow a run, fold its events, draw the view. No dependencies. */
export * from "./events";
export { follow, Problem, problemOf, BACKOFF } from "./follow";
export type { Backoff, Connection, FollowOptions, Handlers } from "./follow";
export { reduce } from "./fold";
export { callPath } from "./lanes";
export * from "./select";
export { MAX_FRAME, SseDecoder } from "./sse";
export type { Frame } from "./sse";
export * from "./state";
