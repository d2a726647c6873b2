// A chat of the published AI SDK, driven by lines of JSON: node chat.mjs PACKAGE API CHAT-ID OPTIONS
// OPTIONS: {"body", "messages", "automatic": "approvals" | "tools"}. Each line on stdin is {"do": ..., ...}; each is answered with one
// line: {"status", "error", "messages", "finished"}. What is begun with "begin" goes on while other lines are read.
import { createInterface } from "node:readline";

const [name, api, id, given] = process.argv.slice(2);
const options = JSON.parse(given ?? "{}");
const ai = await import(name);

class State {
  status = "ready";
  error = undefined;
  #messages;
  constructor(messages) {
    this.#messages = messages;
  }
  get messages() {
    return this.#messages;
  }
  set messages(messages) {
    this.#messages = messages;
  }
  pushMessage = (message) => {
    this.#messages = [...this.#messages, message];
  };
  popMessage = () => {
    this.#messages = this.#messages.slice(0, -1);
  };
  replaceMessage = (index, message) => {
    this.#messages = [...this.#messages.slice(0, index), this.snapshot(message), ...this.#messages.slice(index + 1)];
  };
  snapshot = (thing) => structuredClone(thing);
}

class Chat extends ai.AbstractChat {
  constructor({ messages, ...init }) {
    super({ ...init, state: new State(messages) });
  }
}

const automatic = {
  approvals: ai.lastAssistantMessageIsCompleteWithApprovalResponses,
  tools: ai.lastAssistantMessageIsCompleteWithToolCalls,
}[options.automatic];

const finished = [];
const transient = [];
const requests = [];
const counting = (url, init) => {
  requests.push(`${init?.method ?? "GET"} ${new URL(url).pathname}`);
  return fetch(url, init);
};
const chat = new Chat({
  id,
  messages: options.messages ?? [],
  transport: new ai.DefaultChatTransport({ api, body: options.body, fetch: counting }),
  onFinish: ({ isAbort, isError, isDisconnect, finishReason }) =>
    finished.push({ isAbort, isError, isDisconnect, finishReason }),
  onData: (part) => part.transient && transient.push(part),
  ...(automatic ? { sendAutomaticallyWhen: automatic } : {}),
});

const acts = {
  send: ({ text, files, messageId }) => chat.sendMessage({ text, files, messageId }),
  regenerate: ({ messageId }) => chat.regenerate({ messageId }),
  resume: () => chat.resumeStream(),
  continue: ({ body }) => chat.sendMessage(undefined, { body }),
  leave: () => chat.stop(),
  approve: ({ approval, approved, reason }) => chat.addToolApprovalResponse({ id: approval, approved, reason }),
  output: ({ tool, toolCallId, output }) => chat.addToolOutput({ tool, toolCallId, output }),
};
const text = () => JSON.stringify(chat.messages);
const pause = () => new Promise((wake) => setTimeout(wake, 5));
const until = async (condition) => {
  while (!condition()) await pause();
};

let running = Promise.resolve();
acts.begin = ({ what, ...rest }) => {
  running = acts[what](rest);
};
acts.end = () => running;
acts.until = ({ words }) => until(() => text().includes(words));
acts.quiet = async () => {
  await until(() => chat.status === "ready" || chat.status === "error");
};
acts.look = () => {};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: act, ...rest } = JSON.parse(line);
  await acts[act](rest);
  const answer = {
    status: chat.status,
    error: chat.error?.message ?? null,
    messages: chat.messages,
    finished,
    transient,
    requests,
  };
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
