/** What the report says in figures. */

import type { RecoveryRate, Report, Use } from "../api/statistics";
import { href } from "../routes";
import { count, usd } from "../ui/format";
import { span } from "../run/timeline";
import { type Column, Figures } from "./Figures";

const tokens = (use: Use) => use.input_tokens + use.cache_read_tokens + use.cache_write_tokens + use.output_tokens;

/** Tokens and cost; the bar is behind the cost, or behind the tokens where nothing has a price. */
function useColumns<T extends Use>(rows: readonly T[]): Column<T>[] {
  const priced = rows.some((row) => row.cost_usd > 0);
  const inward = (use: Use) => use.input_tokens + use.cache_read_tokens + use.cache_write_tokens;
  return [
    { head: "Tokens in", number: true, cell: (row) => count(inward(row)) },
    { head: "Out", number: true, cell: (row) => count(row.output_tokens), bar: priced ? undefined : tokens },
    { head: "Cost", number: true, cell: (row) => usd(row.cost_usd), bar: priced ? (row) => row.cost_usd : undefined },
  ];
}

export function Durations({ report }: { report: Report }) {
  const { runs, first_token, stages, planning } = report.durations;
  const rows = [
    ...(runs ? [{ name: "A completed run", times: runs }] : []),
    ...(first_token ? [{ name: "First token", times: first_token }] : []),
    ...stages.map(({ agent, times }) => ({ name: `Step: ${agent}`, times })),
    ...planning.map(({ agent, times }) => ({ name: `Planning: ${agent}`, times })),
  ];
  return (
    <Figures
      title="Durations"
      about="Without the time that runs wait for people."
      rows={rows}
      name={(row) => row.name}
      empty="Nothing has ended yet."
      columns={[
        { head: "Of", cell: (row) => row.name },
        { head: "Count", number: true, cell: (row) => row.times.count },
        { head: "Half within", number: true, cell: (row) => span(row.times.p50_s) },
        { head: "95 % within", number: true, cell: (row) => span(row.times.p95_s), bar: (row) => row.times.p95_s },
        { head: "Longest", number: true, cell: (row) => span(row.times.max_s) },
      ]}
    />
  );
}

export function Recovery({ report }: { report: Report }) {
  const { runs, stages, tool_limits, takeovers } = report.recovery;
  const rows = [...runs.map((rate) => ({ of: "runs", rate })), ...stages.map((rate) => ({ of: "steps", rate }))];
  return (
    <Figures
      title="Recovery"
      about={`${takeovers} takeovers, ${tool_limits} tool limits resumed. Success: of those that met it, how many completed all the same.`}
      rows={rows}
      name={({ of, rate }) => `${of} ${rate.kind}`}
      empty="Nothing had to be recovered."
      columns={[
        { head: "Kind", cell: ({ rate }) => kindWords(rate) },
        { head: "Of", cell: ({ of }) => of },
        { head: "Met", number: true, cell: ({ rate }) => `${rate.met} of ${rate.ended}` },
        { head: "Success", number: true, cell: ({ rate }) => percent(rate.success), bar: ({ rate }) => rate.success },
        { head: "Saved of all", number: true, cell: ({ rate }) => percent(rate.share) },
      ]}
    />
  );
}

export function Models({ report }: { report: Report }) {
  return (
    <Figures
      title="Models"
      rows={report.models}
      name={(model) => model.model}
      columns={[
        { head: "Model", cell: (model) => model.model },
        { head: "Calls", number: true, cell: (model) => count(model.calls) },
        { head: "Failed", number: true, cell: (model) => <Wrong n={model.failed} /> },
        { head: "Withdrawn", number: true, cell: (model) => <span title={model.reasons.map((one) => `${one.reason}: ${one.count}`).join(", ")}>{model.withdrawn}</span> },
        { head: "95 % within", number: true, cell: (model) => (model.times ? span(model.times.p95_s) : "–") },
        ...useColumns(report.models),
      ]}
    />
  );
}

export function Agents({ report }: { report: Report }) {
  return (
    <Figures
      title="Agents"
      rows={report.agents}
      name={(agent) => agent.agent}
      columns={[{ head: "Agent", cell: (agent) => agent.agent }, { head: "Calls", number: true, cell: (agent) => count(agent.calls) }, ...useColumns(report.agents)]}
    />
  );
}

export function Tenants({ report }: { report: Report }) {
  if (report.scope !== "all") return null;
  return (
    <Figures
      title="Tenants"
      rows={report.tenants}
      name={(tenant) => tenant.tenant_id}
      columns={[
        { head: "Tenant", cell: (tenant) => tenant.tenant_id },
        { head: "Under way", number: true, cell: (tenant) => tenant.under_way },
        { head: "Completed", number: true, cell: (tenant) => tenant.completed },
        { head: "Failed", number: true, cell: (tenant) => <Wrong n={tenant.failed + tenant.expired} /> },
        ...useColumns(report.tenants),
      ]}
    />
  );
}

export function Conversations({ report }: { report: Report }) {
  return (
    <Figures
      title="Dearest conversations"
      rows={report.conversations}
      name={(one) => one.conversation_id}
      columns={[
        {
          head: "Conversation",
          cell: (one) => (
            <a className="mono run-link" href={href({ view: "conversation", conversation: one.conversation_id, run: null })}>
              {one.conversation_id}
            </a>
          ),
        },
        { head: "Runs", number: true, cell: (one) => one.runs },
        ...useColumns(report.conversations),
      ]}
    />
  );
}

export function Days({ report }: { report: Report }) {
  return (
    <Figures
      title="Cost by day"
      about="By the day a run was created (UTC), from the store's own books."
      rows={report.days}
      name={(day) => `${day.day} ${day.tenant_id}`}
      columns={[
        { head: "Day", cell: (day) => day.day },
        { head: "Tenant", cell: (day) => day.tenant_id },
        { head: "Spent", number: true, cell: (day) => usd(day.spent_usd), bar: (day) => day.spent_usd },
        { head: "Held back", number: true, cell: (day) => usd(day.reserved_usd) },
      ]}
    />
  );
}

export function Errors({ report }: { report: Report }) {
  return (
    <Figures
      title="Errors"
      rows={report.errors}
      name={(error) => `${error.where} ${error.code}`}
      empty="Nothing went wrong."
      columns={[
        { head: "Code", cell: (error) => <code>{error.code}</code> },
        { head: "Where", cell: (error) => error.where },
        { head: "Times", number: true, cell: (error) => error.count, bar: (error) => error.count },
        { head: "Newest", cell: (error) => <a href={href({ view: "run", run: error.last_run_id })} className="nowrap" aria-label="Open its newest run">open</a> },
      ]}
    />
  );
}

export function Tools({ report }: { report: Report }) {
  return (
    <Figures
      title="Tools"
      about="Those that fail the most come first."
      rows={report.tools}
      name={(tool) => tool.name}
      columns={[
        { head: "Tool", cell: (tool) => tool.name },
        { head: "Calls", number: true, cell: (tool) => count(tool.calls), bar: (tool) => tool.calls },
        { head: "Failed", number: true, cell: (tool) => <Wrong n={tool.failed} /> },
        { head: "Unknown", number: true, cell: (tool) => <Wrong n={tool.unknown} /> },
        { head: "Bad arguments", number: true, cell: (tool) => tool.invalid },
        { head: "95 % within", number: true, cell: (tool) => (tool.times ? span(tool.times.p95_s) : "–") },
      ]}
    />
  );
}

function Wrong({ n }: { n: number }) {
  return n > 0 ? <strong className="bad">{n}</strong> : <>0</>;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0 && share < 1 ? 1 : 0)} %`;
}

function kindWords({ kind }: RecoveryRate): string {
  return kind === "any" ? "any kind" : kind.replaceAll("_", " ").replace(":", ": ");
}
