import { useState } from "react";
import { Button, Input, Label, TextField } from "react-aria-components";

import { setKey, useKey, useKeyWanted } from "../api/http";
import { Window } from "./Dialog";

/** Asks for the API key when the server wants one. */
export function KeyDialog() {
  const wanted = useKeyWanted();
  const refused = useKey() !== null;
  const [value, setValue] = useState("");
  const use = () => {
    if (value.trim()) setKey(value.trim());
    setValue("");
  };
  return (
    <Window title="This server wants an API key" isOpen={wanted} onClose={() => undefined} insists>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          use();
        }}
      >
        <p className="muted small">
          {refused ? "The key you gave is not valid, or not any more. " : ""}
          The operator makes one with <code>headrace keys</code>. It is kept in this tab only and forgotten when you close it.
        </p>
        <TextField className="field" value={value} onChange={setValue} autoFocus type="password" autoComplete="off">
          <Label>API key</Label>
          <Input placeholder="hr_…" />
        </TextField>
        <div className="dialog-foot">
          <Button className="button button-primary" type="submit" isDisabled={value.trim() === ""}>
            Use this key
          </Button>
        </div>
      </form>
    </Window>
  );
}
