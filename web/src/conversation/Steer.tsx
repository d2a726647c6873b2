import { useState } from "react";
import { Button, Input, TextField } from "react-aria-components";

import * as api from "../api/headrace";
import { Notice } from "../ui/Notice";
import { useAction } from "./useAction";

/** A message to the agent of one running step. */
export function Steer({ run, stage, onDone }: { run: string; stage: string; onDone: () => void }) {
  const [text, setText] = useState("");
  const { busy, problem, act } = useAction();
  const send = async () => {
    if (text.trim() && (await act(() => api.say(run, { type: "message", stage, text: text.trim() })))) onDone();
  };
  return (
    <form
      className="row steer"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <TextField className="field grow" aria-label="Message to this step" value={text} onChange={setText} autoFocus>
        <Input placeholder="Keep it short, look into … " />
      </TextField>
      <Button type="submit" className="button button-primary" isDisabled={busy || text.trim() === ""}>
        Tell
      </Button>
      {problem && <Notice kind="bad">{problem}</Notice>}
    </form>
  );
}
