import { Check } from "lucide-react";
import { useState } from "react";
import { Checkbox, FieldError, Input, Label, Text, TextField } from "react-aria-components";

import type { Question } from "../api/types";

/** The options as they stand in their fields. */
export interface Wishes {
  documents: string;
  approve: boolean;
  /** US dollars. */
  budget: string;
  /** Minutes. */
  deadline: string;
}

const STORED = "headrace-documents";

/** The options; the documents folder is remembered in this browser. */
export function useWishes(): [Wishes, (wishes: Wishes) => void] {
  const [wishes, set] = useState<Wishes>({ documents: localStorage.getItem(STORED) ?? "", approve: false, budget: "", deadline: "" });
  return [
    wishes,
    (changed) => {
      localStorage.setItem(STORED, changed.documents);
      set(changed);
    },
  ];
}

/** The fields of the request that say so. Throws, in words, when a number is none. */
export function wished(wishes: Wishes): Partial<Question> {
  const budget = number(wishes.budget, "The budget");
  const minutes = number(wishes.deadline, "The deadline");
  return {
    ...(wishes.documents.trim() ? { documents: wishes.documents.trim() } : {}),
    ...(wishes.approve ? { approve_plan: true } : {}),
    ...(budget === null ? {} : { budget_usd: budget }),
    ...(minutes === null ? {} : { deadline_s: minutes * 60 }),
  };
}

function number(text: string, what: string): number | null {
  if (text.trim() === "") return null;
  const value = Number(text.trim().replace(",", "."));
  if (!Number.isFinite(value) || value <= 0) throw new Error(`${what} is to be a number above zero.`);
  return value;
}

interface Props {
  wishes: Wishes;
  onChange: (wishes: Wishes) => void;
  /** The question goes on in a conversation. */
  follows: boolean;
}

export function Options({ wishes, onChange, follows }: Props) {
  return (
    <div className="composer-options card" role="group" aria-label="Options">
      <TextField className="field wide" value={wishes.documents} onChange={(documents) => onChange({ ...wishes, documents })}>
        <Label>Documents folder on the server</Label>
        <Input placeholder={follows ? "the same as before" : "as the server was started"} spellCheck="false" />
        <FieldError className="wrong" />
      </TextField>
      <TextField className="field" value={wishes.budget} onChange={(budget) => onChange({ ...wishes, budget })} inputMode="decimal">
        <Label>Budget in US dollars</Label>
        <Input placeholder="none" />
      </TextField>
      <TextField className="field" value={wishes.deadline} onChange={(deadline) => onChange({ ...wishes, deadline })} inputMode="decimal">
        <Label>Deadline in minutes</Label>
        <Input placeholder="60" />
      </TextField>
      <Checkbox className="checkbox wide" isSelected={wishes.approve} onChange={(approve) => onChange({ ...wishes, approve })}>
        <span className="box" aria-hidden>
          <Check size={13} strokeWidth={3} />
        </span>
        <span>
          Show me the plan first <Text className="muted small">and wait until I approve or change it</Text>
        </span>
      </Checkbox>
    </div>
  );
}
