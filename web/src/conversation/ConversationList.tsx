import { Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { Button } from "react-aria-components";

import * as api from "../api/headrace";
import { ApiProblem } from "../api/http";
import { go, href } from "../routes";
import { Window } from "../ui/Dialog";
import { when } from "../ui/format";
import { Notice } from "../ui/Notice";
import { StateBadge } from "../ui/StateBadge";
import type { Conversations, Listed } from "./useConversations";

interface Props {
  list: Conversations;
  selected: string | null;
  onChosen: () => void;
}

/** The conversations, newest first; each is opened, or deleted after a question. */
export function ConversationList({ list, selected, onChosen }: Props) {
  const [doomed, setDoomed] = useState<Listed | null>(null);
  return (
    <div className="conversation-list">
      <a className="button new-conversation" href="#/" onClick={onChosen}>
        <Plus size={16} aria-hidden /> New conversation
      </a>
      {list.problem && <Notice kind="warn">{list.problem.message}</Notice>}
      {list.value?.length === 0 && <p className="muted small list-empty">What you ask will stand here.</p>}
      <ul>
        {list.value?.map((one) => (
          <Item key={one.conversation_id} one={one} selected={one.conversation_id === selected} onChosen={onChosen} onDelete={() => setDoomed(one)} />
        ))}
      </ul>
      {list.more && (
        <Button className="button button-quiet button-small older" onPress={list.more}>
          Show older ones
        </Button>
      )}
      <Delete
        doomed={doomed}
        onClose={() => setDoomed(null)}
        onDeleted={(id) => {
          setDoomed(null);
          list.again();
          if (id === selected) go({ view: "conversation", conversation: null, run: null });
        }}
      />
    </div>
  );
}

interface ItemProps {
  one: Listed;
  selected: boolean;
  onChosen: () => void;
  onDelete: () => void;
}

function Item({ one, selected, onChosen, onDelete }: ItemProps) {
  const name = one.title ?? one.question;
  return (
    <li className="conversation-item" data-selected={selected || undefined}>
      <a
        href={href({ view: "conversation", conversation: one.conversation_id, run: null })}
        aria-current={selected ? "page" : undefined}
        onClick={onChosen}
      >
        <span className="truncate conversation-name">{name}</span>
        <span className="row tiny conversation-facts">
          <time dateTime={new Date(one.updated_at * 1000).toISOString()}>{when(one.updated_at)}</time>
          {one.state && one.state !== "completed" && <StateBadge state={one.state} />}
          {one.state === "completed" && <span className="visually-hidden">Completed</span>}
        </span>
      </a>
      <Button className="button button-quiet button-icon button-small conversation-delete" aria-label={`Delete “${name}”`} onPress={onDelete}>
        <Trash2 size={15} aria-hidden />
      </Button>
    </li>
  );
}

function Delete({ doomed, onClose, onDeleted }: { doomed: Listed | null; onClose: () => void; onDeleted: (id: string) => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const remove = async () => {
    if (doomed === null) return;
    setBusy(true);
    setProblem(null);
    try {
      await api.deleteConversation(doomed.conversation_id);
      onDeleted(doomed.conversation_id);
    } catch (error) {
      setProblem(error instanceof ApiProblem ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Window
      title="Delete this conversation?"
      role="alertdialog"
      isOpen={doomed !== null}
      onClose={() => {
        setProblem(null);
        onClose();
      }}
    >
      <p className="muted">
        “{doomed?.title ?? doomed?.question}” goes with all its questions, answers and events, for good.
      </p>
      {problem && <Notice kind="bad">{problem}</Notice>}
      <div className="dialog-foot">
        <Button className="button" onPress={onClose} autoFocus>
          Keep it
        </Button>
        <Button className="button button-danger" onPress={() => void remove()} isDisabled={busy}>
          Delete
        </Button>
      </div>
    </Window>
  );
}
