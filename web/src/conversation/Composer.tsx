/** Where one asks. While a run of the conversation is under way, what is written here goes to its agents instead. */

import { ArrowUp, LoaderCircle, Paperclip, SlidersHorizontal, X } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { Button, FileTrigger, ToggleButton } from "react-aria-components";

import * as api from "../api/headrace";
import { ApiProblem } from "../api/http";
import type { FileAttachment } from "../api/types";
import { go } from "../routes";
import { Notice } from "../ui/Notice";
import { ACCEPTED, attachment } from "./attachments";
import "./composer.css";
import { Options, type Wishes, useWishes, wished } from "./Options";

interface Props {
  conversation: string | null;
  /** A question offered from outside; it is put into the field. */
  offered?: string;
  /** The run under way, if there is one. */
  busy?: string | null;
  onAsked: () => void;
}

export function Composer({ conversation, offered = "", busy = null, onAsked }: Props) {
  const [text, setText] = useState("");
  const [files, setFiles] = useState<readonly FileAttachment[]>([]);
  const [wishes, setWishes] = useWishes();
  const [more, setMore] = useState(false);
  const { sending, words, told, attempt } = useAttempt();
  const field = useRef<HTMLTextAreaElement>(null);
  const id = useId();

  useEffect(() => {
    if (offered === "") return;
    setText(offered);
    field.current?.focus();
  }, [offered]);
  useEffect(() => grow(field.current), [text]);

  const ready = text.trim() !== "" && !sending;
  const submit = () => {
    if (!ready) return;
    void attempt(async () => {
      if (busy === null) await ask(text, conversation, wishes, files);
      else await api.say(busy, { type: "message", text: text.trim() });
      setText("");
      setFiles([]);
      onAsked();
      return busy === null ? "" : "The agents will read this before their next turn.";
    });
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  };
  const add = (chosen: FileList | null) =>
    void attempt(async () => {
      const added = await Promise.all(Array.from(chosen ?? [], attachment));
      setFiles((before) => [...before, ...added].slice(0, 8));
      return "";
    });

  return (
    <div className="composer-place">
      <form
        className="composer column"
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          submit();
        }}
      >
        {words && <Notice kind="bad">{words}</Notice>}
        <p className="visually-hidden" role="status">
          {told}
        </p>
        {more && busy === null && <Options wishes={wishes} onChange={setWishes} follows={conversation !== null} />}
        <div className="composer-box">
          {files.length > 0 && <Files files={files} onRemove={(gone) => setFiles(files.filter((file) => file !== gone))} />}
          <label htmlFor={id} className="visually-hidden">
            {busy === null ? "Your question" : "A message to the agents at work"}
          </label>
          <textarea
            id={id}
            ref={field}
            rows={1}
            value={text}
            maxLength={20_000}
            autoFocus={conversation === null}
            placeholder={busy !== null ? "Tell the agents something…" : conversation === null ? "Ask a question…" : "Ask on…"}
            onChange={(event) => setText(event.target.value)}
            onKeyDown={keys}
          />
          <div className="composer-foot">
            {busy === null && (
              <>
                <FileTrigger acceptedFileTypes={ACCEPTED} allowsMultiple onSelect={add}>
                  <Button className="button button-quiet button-icon button-small" aria-label="Attach pictures, PDFs or texts">
                    <Paperclip size={17} aria-hidden />
                  </Button>
                </FileTrigger>
                <ToggleButton className="button button-quiet button-small" isSelected={more} onChange={setMore} aria-expanded={more}>
                  <SlidersHorizontal size={16} aria-hidden /> Options
                </ToggleButton>
                <span className="tiny muted truncate">{summary(wishes)}</span>
              </>
            )}
            {busy !== null && <span className="tiny muted truncate">{told || "A run is under way: what you write goes to its agents."}</span>}
            <span className="grow" />
            <Button className="button button-primary button-icon send" type="submit" isDisabled={!ready} aria-label={busy === null ? "Ask" : "Tell the agents"}>
              {sending ? <LoaderCircle size={18} className="spin" aria-hidden /> : <ArrowUp size={18} aria-hidden />}
            </Button>
          </div>
        </div>
      </form>
    </div>
  );
}

async function ask(text: string, conversation: string | null, wishes: Wishes, files: readonly FileAttachment[]): Promise<void> {
  const accepted = await api.ask({
    input: text.trim(),
    ...wished(wishes),
    ...(conversation === null ? {} : { conversation_id: conversation }),
    ...(files.length === 0 ? {} : { attachments: [...files] }),
  });
  const place = accepted.conversation_id ?? conversation;
  if (place !== null) go({ view: "conversation", conversation: place, run: accepted.run_id });
}

/** One thing at a time, with the words for what became of it. */
function useAttempt() {
  const [sending, setSending] = useState(false);
  const [words, setWords] = useState("");
  const [told, setTold] = useState("");
  const attempt = async (action: () => Promise<string>) => {
    setSending(true);
    setWords("");
    try {
      setTold(await action());
    } catch (error) {
      setTold("");
      setWords(error instanceof ApiProblem || error instanceof Error ? error.message : String(error));
    } finally {
      setSending(false);
    }
  };
  return { sending, words, told, attempt };
}

function Files({ files, onRemove }: { files: readonly FileAttachment[]; onRemove: (file: FileAttachment) => void }) {
  return (
    <ul className="composer-files" aria-label="Attached">
      {files.map((file, place) => (
        <li key={place} className="badge">
          <span className="truncate">{file.name}</span>
          <button type="button" aria-label={`Remove ${file.name}`} onClick={() => onRemove(file)}>
            <X size={13} aria-hidden />
          </button>
        </li>
      ))}
    </ul>
  );
}

function summary(wishes: Wishes): string {
  const said = [
    wishes.documents.trim() && `in ${wishes.documents.trim()}`,
    wishes.approve && "plan first",
    wishes.budget.trim() && `up to $${wishes.budget.trim()}`,
    wishes.deadline.trim() && `within ${wishes.deadline.trim()} min`,
  ];
  return said.filter(Boolean).join(" · ");
}

/** Makes the field as high as its text, up to a third of the window. */
function grow(field: HTMLTextAreaElement | null): void {
  if (field === null) return;
  field.style.blockSize = "auto";
  field.style.blockSize = `${Math.min(field.scrollHeight, window.innerHeight / 3)}px`;
}
