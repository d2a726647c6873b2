/** The conversation view: all conversations beside the one that is open, its runs in order, and the composer below. */

import { PanelLeft, Plus } from "lucide-react";
import { useCallback, useEffect, useState } from "react";
import { Button } from "react-aria-components";

import * as api from "../api/headrace";
import { go } from "../routes";
import { Window } from "../ui/Dialog";
import { Notice } from "../ui/Notice";
import { isEnded } from "../ui/StateBadge";
import { Composer } from "./Composer";
import { ConversationList } from "./ConversationList";
import "./conversation.css";
import { Exchange } from "./Exchange";
import { StickToEnd } from "./StickToEnd";
import { type Conversations, useConversations } from "./useConversations";
import { useLoaded } from "./useLoaded";
import { OlderButton, useOlder } from "./Older";
import { Welcome } from "./Welcome";

interface Props {
  conversation: string | null;
  /** The run to show live; none: the newest. */
  run: string | null;
}

export function ConversationView({ conversation, run }: Props) {
  const list = useConversations();
  const [open, setOpen] = useState(false);
  const shown = <ConversationList list={list} selected={conversation} onChosen={() => setOpen(false)} />;
  return (
    <div className="conversations">
      <aside className="sidebar" aria-label="Conversations">
        {shown}
      </aside>
      <Window title="Conversations" isOpen={open} onClose={() => setOpen(false)} side="start">
        {shown}
      </Window>
      <section className="talk" aria-label="Conversation">
        <div className="sidebar-strip">
          <Button className="button button-quiet button-small" onPress={() => setOpen(true)}>
            <PanelLeft size={16} aria-hidden /> All conversations
          </Button>
          <a className="button button-quiet button-small" href="#/">
            <Plus size={16} aria-hidden /> New
          </a>
        </div>
        {conversation === null ? <Beginning onAsked={list.again} /> : (
          <Talk key={conversation} id={conversation} run={run} stamp={stampOf(list, conversation)} onChange={list.again} />
        )}
      </section>
    </div>
  );
}

function stampOf(list: Conversations, id: string): number {
  return list.value?.find((one) => one.conversation_id === id)?.updated_at ?? 0;
}

function Beginning({ onAsked }: { onAsked: () => void }) {
  const [example, setExample] = useState("");
  useEffect(() => {
    document.title = "Headrace";
  }, []);
  return (
    <>
      <div className="scroll">
        <Welcome onExample={setExample} />
      </div>
      <Composer conversation={null} offered={example} onAsked={onAsked} />
    </>
  );
}

interface TalkProps {
  id: string;
  run: string | null;
  /** Changes when somebody, here or elsewhere, has asked on. */
  stamp: number;
  onChange: () => void;
}

function Talk({ id, run, stamp, onChange }: TalkProps) {
  const { value, problem, again } = useLoaded(() => api.conversation(id), [id]);
  const older = useOlder((before) => api.conversation(id, before).then((page) => ({ items: page.runs, next: page.next_before })));
  const [title, setTitle] = useState<string | null>(null);
  useEffect(again, [run, stamp, again]);
  const changed = useCallback(() => {
    again();
    onChange();
  }, [again, onChange]);
  const runs = [...older.items, ...(value?.runs ?? [])];
  const missing = run !== null && !runs.some((known) => known.run_id === run) ? run : null;
  // One list, so that a run stays where it is on the page when the conversation comes to know it.
  const shown = [...runs.map((known) => ({ runId: known.run_id, known })), ...(missing === null ? [] : [{ runId: missing, known: null }])];
  const newest = runs.at(-1);
  const name = title ?? value?.title ?? value?.question ?? null;
  useEffect(() => {
    document.title = name ? `${name} · Headrace` : "Headrace";
  }, [name]);
  const busy = newest !== undefined && !isEnded(newest.state) ? newest.run_id : missing;
  if (value === null && problem !== null && missing === null) return <Gone words={problem.message} />;
  return (
    <>
      <StickToEnd>
        <h1 className="visually-hidden">{name ?? "Conversation"}</h1>
        <OlderButton older={older} first={value?.next_before ?? null} words="Show older questions" />
        {value === null && missing === null && <Skeleton />}
        {shown.map(({ runId, known }) => (
          <Exchange
            key={runId}
            known={known}
            runId={runId}
            live={known === null || runId === (run ?? newest?.run_id) || !isEnded(known.state)}
            onTitle={setTitle}
            onChange={changed}
          />
        ))}
      </StickToEnd>
      <Composer conversation={id} busy={busy} onAsked={changed} />
    </>
  );
}

function Gone({ words }: { words: string }) {
  return (
    <div className="scroll">
      <div className="column stack">
        <Notice kind="bad">{words}</Notice>
        <Button className="button" onPress={() => go({ view: "conversation", conversation: null, run: null })}>
          Begin a new conversation
        </Button>
      </div>
    </div>
  );
}

function Skeleton() {
  return (
    <div className="stack" aria-label="Loading" role="status">
      <div className="skeleton" />
      <div className="skeleton" />
      <div className="skeleton" />
    </div>
  );
}
