/** What the run asks people: the plan, a tool call with its exact arguments, or a question. */

import { Hand } from "lucide-react";
import { useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";

import * as api from "../api/headrace";
import type { Said } from "../api/types";
import type { ApprovalView, RunView } from "../headrace";
import { openApprovals } from "../headrace";
import { moment } from "../ui/format";
import { Notice } from "../ui/Notice";
import { useActing } from "./acting";
import { PlanEditor } from "./PlanEditor";
import { useAction } from "./useAction";

export function Approvals({ view }: { view: RunView }) {
  if (!useActing()) return <p className="notice notice-warn">{openApprovals(view).map((approval) => approval.what).join(" ")}</p>;
  return (
    <div className="stack">
      {openApprovals(view).map((approval) => (
        <Asked key={`${approval.approval} ${approval.arguments_hash}`} view={view} approval={approval} />
      ))}
    </div>
  );
}

function Asked({ view, approval }: { view: RunView; approval: ApprovalView }) {
  const { busy, problem, act } = useAction();
  const say = (said: Said) => void act(() => api.say(view.run_id, said));
  return (
    <section className="card approval" aria-label="Your answer is needed">
      <div className="row">
        <Hand size={17} aria-hidden className="warn" />
        <h3 className="grow">{TITLE[approval.kind]}</h3>
      </div>
      {approval.kind !== "plan" && <p className="approval-what">{approval.what}</p>}
      {approval.reason && <p className="small muted">{approval.reason}</p>}
      {problem && <Notice kind="bad">{problem}</Notice>}
      {approval.kind === "plan" && <PlanEditor view={view} approval={approval} busy={busy} onSay={say} />}
      {approval.kind === "tool" && <Tool approval={approval} busy={busy} onSay={say} />}
      {approval.kind === "question" && <Question approval={approval} busy={busy} onSay={say} />}
      <p className="tiny muted">The run waits until {moment(approval.expires_at)}; waiting costs nothing.</p>
    </section>
  );
}

const TITLE = { plan: "Is this plan right?", tool: "May this tool be called?", question: "A question for you" };

export interface AskedProps {
  approval: ApprovalView;
  busy: boolean;
  onSay: (said: Said) => void;
}

function Tool({ approval, busy, onSay }: AskedProps) {
  return (
    <>
      <p className="small">
        <strong>{approval.name}</strong> would be called with exactly this:
      </p>
      <pre className="approval-arguments" tabIndex={0}>
        {JSON.stringify(approval.arguments, null, 2)}
      </pre>
      <YesNo approval={approval} busy={busy} onSay={onSay} yes="Approve the call" />
    </>
  );
}

/** Approve, or refuse with a reason. */
export function YesNo({ approval, busy, onSay, yes, said = {} }: AskedProps & { yes: string; said?: Partial<Extract<Said, { type: "approve" }>> }) {
  const [refusing, setRefusing] = useState(false);
  const [why, setWhy] = useState("");
  const { approval: name, arguments_hash } = approval;
  if (refusing) {
    return (
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          onSay({ type: "approve", approval: name, arguments_hash, approved: false, text: why.trim() });
        }}
      >
        <TextField className="field" value={why} onChange={setWhy} autoFocus>
          <Label>Why not? (optional)</Label>
          <Input />
        </TextField>
        <div className="row row-wrap">
          <Button type="submit" className="button button-danger" isDisabled={busy}>
            Refuse
          </Button>
          <Button className="button button-quiet" onPress={() => setRefusing(false)}>
            Back
          </Button>
        </div>
      </form>
    );
  }
  return (
    <div className="row row-wrap">
      <Button
        className="button button-primary"
        isDisabled={busy}
        onPress={() => onSay({ type: "approve", approval: name, arguments_hash, approved: true, ...said })}
      >
        {yes}
      </Button>
      <Button className="button" isDisabled={busy} onPress={() => setRefusing(true)}>
        Refuse …
      </Button>
    </div>
  );
}

function Question({ approval, busy, onSay }: AskedProps) {
  const [text, setText] = useState("");
  const answer = (words: string) => onSay({ type: "answer", approval: approval.approval, text: words });
  return (
    <>
      {approval.options.length > 0 && (
        <div className="row row-wrap" role="group" aria-label="Answers">
          {approval.options.map((option) => (
            <Button key={option} className="button" isDisabled={busy} onPress={() => answer(option)}>
              {option}
            </Button>
          ))}
        </div>
      )}
      <form
        className="row steer"
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim()) answer(text.trim());
        }}
      >
        <TextField className="field grow" aria-label="Your answer" value={text} onChange={setText}>
          <Input placeholder={approval.options.length > 0 ? "or in your own words" : "Your answer"} />
        </TextField>
        <Button type="submit" className="button button-primary" isDisabled={busy || text.trim() === ""}>
          Answer
        </Button>
      </form>
    </>
  );
}
