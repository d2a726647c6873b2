import { Check, LoaderCircle, ShieldCheck, ShieldX, X } from "lucide-react";

import type { AgentView, RunView } from "../headrace";

// A map and no object: an agent may be called `__proto__`.
const DOES: ReadonlyMap<string, string> = new Map([
  ["planner", "Plan"],
  ["titler", "Title"],
  ["guardrail", "Guardrail"],
]);

/** The planning agents, as each finishes, with the guardrail's verdict. */
export function Planning({ view }: { view: RunView }) {
  if (view.agents.length === 0) return null;
  return (
    <ul className="planning" aria-label="Planning">
      {view.agents.map((agent) => (
        <li key={agent.name} className="planning-agent" title={title(agent, view)}>
          <Sign agent={agent} allowed={agent.name === "guardrail" ? (view.guardrail?.allowed ?? null) : null} />
          <span>{DOES.get(agent.name) ?? agent.name}</span>
          <span className="muted tabular">{result(agent, view)}</span>
        </li>
      ))}
    </ul>
  );
}

function Sign({ agent, allowed }: { agent: AgentView; allowed: boolean | null }) {
  if (allowed === false) return <ShieldX size={15} className="bad" aria-hidden />;
  if (agent.status === "running") return <LoaderCircle size={15} className="spin" aria-label="at work" />;
  if (agent.status === "failed") return <X size={15} className="bad" aria-label="failed" />;
  return allowed ? <ShieldCheck size={15} className="good" aria-hidden /> : <Check size={15} className="good" aria-label="done" />;
}

function result(agent: AgentView, view: RunView): string {
  if (agent.status === "running") return "…";
  if (agent.status === "failed") return agent.message || "failed";
  const took = agent.ms < 1000 ? `${agent.ms} ms` : `${(agent.ms / 1000).toFixed(1)} s`;
  if (agent.name === "guardrail" && view.guardrail) return `${view.guardrail.allowed ? "allowed" : "refused"}, ${took}`;
  return took;
}

function title(agent: AgentView, view: RunView): string {
  const why = agent.name === "guardrail" && view.guardrail ? ` ${view.guardrail.reason}` : "";
  return `${agent.name}, ${agent.model}.${why}`;
}
