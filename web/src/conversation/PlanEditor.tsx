/** The plan that waits for approval, to be approved as it is or changed: titles, agents, order, and which steps there are. */

import { ArrowDown, ArrowUp, Check, ChevronsUpDown, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { Button, Input, ListBox, ListBoxItem, Popover, Select, SelectValue, TextField } from "react-aria-components";

import * as api from "../api/headrace";
import type { AgentEntry, PlanTodo } from "../api/types";
import type { RunView } from "../headrace";
import { type AskedProps, YesNo } from "./Approvals";
import { PlanGraph } from "./PlanGraph";
import { dropped, fresh, moved } from "./editing";
import { useLoaded } from "./useLoaded";

export function PlanEditor({ view, approval, busy, onSay }: AskedProps & { view: RunView }) {
  const planned: PlanTodo[] = view.stages.map(({ id, title, agent, depends_on }) => ({ id, title, agent, depends_on: [...depends_on] }));
  const [todos, setTodos] = useState(planned);
  const { value } = useLoaded(api.agents, []);
  const agents = (value?.agents ?? []).filter((agent) => agent.role === "stage");
  const changed = JSON.stringify(todos) !== JSON.stringify(planned);
  const change = (id: string, part: Partial<PlanTodo>) => setTodos(todos.map((todo) => (todo.id === id ? { ...todo, ...part } : todo)));
  return (
    <>
      <ol className="editor">
        {todos.map((todo, place) => (
          <li key={todo.id} className="editor-row">
            <span className="check-number tabular">{place + 1}</span>
            <TextField className="field grow" aria-label={`Step ${place + 1}`} value={todo.title} onChange={(title) => change(todo.id, { title })}>
              <Input />
            </TextField>
            <AgentSelect agents={agents} todo={todo} label={`Agent of step ${place + 1}`} onChange={(agent) => change(todo.id, { agent })} />
            <After todo={todo} todos={todos} onChange={(depends_on) => change(todo.id, { depends_on })} />
            <span className="row editor-buttons">
              <Small label={`Move step ${place + 1} up`} off={place === 0} onPress={() => setTodos(moved(todos, place, -1))} icon={ArrowUp} />
              <Small label={`Move step ${place + 1} down`} off={place === todos.length - 1} onPress={() => setTodos(moved(todos, place, 1))} icon={ArrowDown} />
              <Small label={`Remove step ${place + 1}`} off={todos.length === 1} onPress={() => setTodos(dropped(todos, todo.id))} icon={Trash2} />
            </span>
          </li>
        ))}
      </ol>
      {todos.length > 1 && <PlanGraph stages={todos.map(({ id, depends_on }) => ({ id, depends_on, status: "pending" }))} />}
      <div className="row row-wrap">
        <Button className="button button-small" isDisabled={todos.length >= 20 || agents.length === 0} onPress={() => setTodos([...todos, fresh(todos, agents[0]?.name ?? "")])}>
          <Plus size={14} aria-hidden /> Add a step
        </Button>
        {changed && (
          <Button className="button button-small button-quiet" onPress={() => setTodos(planned)}>
            Undo the changes
          </Button>
        )}
      </div>
      <YesNo
        approval={approval}
        busy={busy || todos.some((todo) => todo.title.trim() === "")}
        onSay={onSay}
        yes={changed ? "Approve the changed plan" : "Approve the plan"}
        said={changed ? { plan: { todos } } : {}}
      />
    </>
  );
}

function Small({ label, off, onPress, icon: Icon }: { label: string; off: boolean; onPress: () => void; icon: typeof ArrowUp }) {
  return (
    <Button className="button button-quiet button-icon button-small" aria-label={label} isDisabled={off} onPress={onPress}>
      <Icon size={15} aria-hidden />
    </Button>
  );
}

function AgentSelect({ agents, todo, label, onChange }: { agents: readonly AgentEntry[]; todo: PlanTodo; label: string; onChange: (agent: string) => void }) {
  const known = agents.some((agent) => agent.name === todo.agent) ? agents : [...agents, { name: todo.agent, description: "" }];
  return (
    <Select aria-label={label} className="editor-agent" value={todo.agent} onChange={(key) => key !== null && onChange(String(key))}>
      <Button className="button select">
        <SelectValue className="truncate" />
        <ChevronsUpDown size={14} aria-hidden />
      </Button>
      <Popover className="popover">
        <ListBox>
          {known.map((agent) => (
            <ListBoxItem key={agent.name} id={agent.name} textValue={agent.name} className="option">
              {agent.name}
            </ListBoxItem>
          ))}
        </ListBox>
      </Popover>
    </Select>
  );
}

/** Which steps it waits for: only steps above it can be chosen, so that a plan never runs in a circle. */
function After({ todo, todos, onChange }: { todo: PlanTodo; todos: readonly PlanTodo[]; onChange: (depends_on: string[]) => void }) {
  const above = todos.slice(0, todos.indexOf(todo));
  if (above.length === 0) return <span className="tiny muted editor-after">starts at once</span>;
  return (
    <span className="row row-wrap editor-after tiny" role="group" aria-label="Waits for">
      <span className="muted">after</span>
      {above.map((other, place) => {
        const on = todo.depends_on.includes(other.id);
        return (
          <button
            key={other.id}
            type="button"
            className="after-chip"
            aria-pressed={on}
            title={other.title}
            aria-label={`Step ${place + 1}`}
            onClick={() => onChange(on ? todo.depends_on.filter((id) => id !== other.id) : [...todo.depends_on, other.id])}
          >
            {on && <Check size={11} aria-hidden />}
            {place + 1}
          </button>
        );
      })}
    </span>
  );
}
