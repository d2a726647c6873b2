/** How an answer comes about: planning, the plan, its steps. Open while it happens, folded once there is an answer. */

import { ChevronRight } from "lucide-react";
import { useState } from "react";
import { Button } from "react-aria-components";

import type { RunView } from "../headrace";
import { openApprovals } from "../headrace";
import { duration, plural } from "../ui/format";
import { PlanCard } from "./PlanCard";
import { Planning } from "./Planning";
import { RecoveryNotes } from "./RecoveryNotes";
import type { ShowSource } from "./Run";
import { StageCard } from "./StageCard";
import { levels } from "./levels";

export function Work({ view, onSource }: { view: RunView; onSource: ShowSource }) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const open = chosen ?? view.state !== "completed";
  if (view.agents.length === 0 && view.stages.length === 0) return null;
  return (
    <section className="work" aria-label="How it is done">
      <Button className="work-toggle" aria-expanded={open} onPress={() => setChosen(!open)}>
        <ChevronRight size={16} aria-hidden className="chevron" data-open={open || undefined} />
        <span>{summary(view)}</span>
      </Button>
      {open && (
        <div className="stack">
          <Planning view={view} />
          {view.stages.length > 0 && !openApprovals(view).some((asked) => asked.kind === "plan") && <PlanCard view={view} />}
          <RecoveryNotes view={view} stage={null} />
          {levels(view.stages).map((level) => {
            const begun = level.filter((stage) => stage.status !== "pending");
            return begun.length === 0 ? null : (
              <div key={level.map((stage) => stage.id).join()} className="level">
                {begun.map((stage) => (
                  <StageCard key={stage.id} view={view} stage={stage} onSource={onSource} />
                ))}
              </div>
            );
          })}
        </div>
      )}
    </section>
  );
}

function summary(view: RunView): string {
  if (view.stages.length === 0) return "Planning";
  const sources = view.stages.reduce((sum, stage) => sum + stage.citations.length, 0);
  const facts = [plural(view.stages.length, "step")];
  if (view.tool_calls > 0) facts.push(plural(view.tool_calls, "tool call"));
  if (sources > 0) facts.push(plural(sources, "source"));
  if (view.ended_at !== null) facts.push(duration(view.ended_at - view.created_at));
  return facts.join(" · ");
}
