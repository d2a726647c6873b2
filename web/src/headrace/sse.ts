/**
 * Server-sent events out of bytes, as they come. It does not care where the network cut them: characters of several
 * bytes, CRLF, fields. An event counts only when the empty line after it is in: what a broken connection leaves behind is
 * dropped, and the server sends it again. No socket, no clock.
 */

/** One complete event as the wire has it. */
export interface Frame {
  /** The last id seen, also when this event named none. */
  id: string;
  event: string;
  data: string;
}

/** More than any event can be, in characters: a server that never ends its frame is not one of ours. */
export const MAX_FRAME = 64 * 1024 * 1024;

/** Bytes in, complete frames out. One per connection. */
export class SseDecoder {
  /** What the server last asked for as the time before a reconnect, in milliseconds. */
  retryMs: number | null = null;

  // Strips the byte order mark at the beginning, and keeps half a character for the next chunk.
  private readonly utf8 = new TextDecoder("utf-8");
  private rest = "";
  private afterCr = false;
  private size = 0;
  private id = "";
  private event = "";
  private data: string[] = [];

  /** The frames that `chunk` completes. Throws when a frame grows beyond all bounds. */
  feed(chunk: Uint8Array): Frame[] {
    let text = this.utf8.decode(chunk, { stream: true });
    if (this.afterCr && text.startsWith("\n")) text = text.slice(1); // the second half of a CRLF that was cut
    else if (text === "") return [];
    this.afterCr = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    const frames: Frame[] = [];
    lines.forEach((line, index) => {
      this.rest += line;
      this.size += line.length;
      if (this.size > MAX_FRAME) throw new Error("an event grew beyond all bounds; this is no Headrace stream");
      if (index === lines.length - 1) return;
      const frame = this.line(this.rest);
      this.rest = "";
      if (frame !== null) frames.push(frame);
    });
    return frames;
  }

  private line(line: string): Frame | null {
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? "" : line.slice(colon + 1);
    const value = raw.startsWith(" ") ? raw.slice(1) : raw;
    if (name === "data") this.data.push(value);
    else if (name === "event") this.event = value;
    else if (name === "id" && !value.includes("\0")) this.id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.retryMs = Number(value);
    return null;
  }

  private dispatch(): Frame | null {
    const frame = this.data.length > 0 ? { id: this.id, event: this.event || "message", data: this.data.join("\n") } : null;
    this.event = "";
    this.data = [];
    this.size = 0;
    return frame;
  }
}
