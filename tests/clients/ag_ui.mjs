// Plays steps with the published AG-UI client, unmodified, and prints what came of each as a line of JSON.
// node ag_ui.mjs BASE STEPS, where STEPS is JSON: {client, threadId, connect, steps: [...]}.

const [base, given] = process.argv.slice(2);
const plan = JSON.parse(given);
const { HttpAgent } = await import(plan.client ?? "@ag-ui/client");

class Agent extends HttpAgent {
  connect(input) {
    return new HttpAgent({ url: `${base}/v1/ag-ui/agent/default/connect` }).run(input);
  }
}

const say = (line) => new Promise((done) => process.stdout.write(`${JSON.stringify(line)}\n`, done));

const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));

const agents = {};
const agentOf = (name, threadId) =>
  (agents[name] ??= new Agent({ url: `${base}${plan.path ?? "/v1/ag-ui"}`, threadId: threadId ?? plan.threadId }));

async function play(step, agent) {
  const events = [];
  let error = null;
  const subscriber = {
    onEvent: ({ event }) => {
      events.push(JSON.parse(JSON.stringify(event)));
      if (step.say === event.type) void say({ said: event.type });
    },
    onRunErrorEvent: ({ event }) => { error = { message: event.message, code: event.code }; },
  };
  const parameters = { runId: step.runId, forwardedProps: step.forwardedProps, resume: step.resume, tools: step.tools, context: step.context };
  if (step.message) agent.addMessage({ id: step.messageId ?? `q-${step.runId}`, role: "user", content: step.message });
  let result = null;
  let thrown = null;
  try {
    result = step.do === "connect" ? await agent.connectAgent(parameters, subscriber) : await agent.runAgent(parameters, subscriber);
  } catch (failure) {
    thrown = { name: failure.name, message: String(failure.message), status: failure.status, payload: failure.payload };
  }
  return {
    events, error, thrown, result: result?.result, messages: agent.messages, state: agent.state,
    interrupts: agent.pendingInterrupts, newMessages: result?.newMessages, warnings: warnings.splice(0),
  };
}

for (const step of plan.steps) {
  const agent = agentOf(step.agent ?? "one", step.threadId);
  if (step.answers) {
    step.resume = agent.pendingInterrupts.map(({ id, reason }) => ({ interruptId: id, ...step.answers[reason] }));
  }
  await say({ done: await play(step, agent) });
}
process.exit(0);
