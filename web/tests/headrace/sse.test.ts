/** The decoder does not care where the network cut the bytes. */
import { describe, expect, test } from "vitest";
import type { Frame } from "../../src/headrace";
import { SseDecoder } from "../../src/headrace";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function decoded(text: string, size: number): { frames: Frame[]; retryMs: number | null } {
  const decoder = new SseDecoder();
  const all = bytes(text);
  const frames: Frame[] = [];
  for (let i = 0; i < all.length; i += size) frames.push(...decoder.feed(all.slice(i, i + size)));
  return { frames, retryMs: decoder.retryMs };
}

const LOG = [
  "retry: 2000\n: a comment with wört 🌊\n\n",
  'id: 1.0\nevent: status\ndata: {"a":"wört 🌊 \\u2028"}\n\n',
  ": ping\n\n",
  "id: 2.1\nevent: token\ndata:no space\ndata:  two spaces\ndata\n\n",
  "data: keeps the id\n\n",
  "id: has\0null\ndata: x\n\n",
  "retry: soon\nunknown: field\n\n",
].join("");

const FRAMES: Frame[] = [
  { id: "1.0", event: "status", data: '{"a":"wört 🌊 \\u2028"}' },
  { id: "2.1", event: "token", data: "no space\n two spaces\n" },
  { id: "2.1", event: "message", data: "keeps the id" },
  { id: "2.1", event: "message", data: "x" },
];

describe.each([
  ["LF", LOG],
  ["CRLF", LOG.replaceAll("\n", "\r\n")],
  ["CR", LOG.replaceAll("\n", "\r")],
  ["a byte order mark", `\ufeff${LOG}`],
])("with %s", (_, text) => {
  test.each([1, 2, 3, 5, 7, 64, 100_000])("in pieces of %i bytes", (size) => {
    const { frames, retryMs } = decoded(text, size);
    expect(frames).toEqual(FRAMES);
    expect(retryMs).toBe(2000);
  });
});

test("what is not complete is not told", () => {
  expect(decoded("id: 1.0\ndata: {}\n\nid: 2.0\ndata: {}\n", 4).frames).toEqual([{ id: "1.0", event: "message", data: "{}" }]);
});
