/** The events with their filter, and the chosen one as JSON. */

import { X } from "lucide-react";
import { memo, useMemo, useState } from "react";
import { Button } from "react-aria-components";

import type { Family, RunEvent, StageView } from "../headrace";
import { moment } from "../ui/format";
import { EventList } from "./EventList";
import { ALL, FAMILIES, type Filter, Filtered, isAll, pretty } from "./filter";
import type { Tape } from "./tape";

interface Props {
  tape: Tape;
  /** Events up to the moment shown. */
  count: number;
  stages: readonly StageView[];
  filter: Filter;
  onFilter: (filter: Filter) => void;
}

export const Events = memo(function Events({ tape, count, stages, filter, onFilter }: Props) {
  const [chosen, setChosen] = useState<number | null>(null);
  const filtered = useMemo(() => new Filtered(), [tape]);
  const places = filtered.of(tape.events, filter, count);
  const shown = chosen === null ? undefined : tape.events[chosen - 1];
  return (
    <section className="card events-card" aria-label="Events">
      <div className="events-head">
        <h2>Events</h2>
        <span className="tiny muted tabular grow">
          {isAll(filter) ? places.length : `${places.length} of ${count}`}
        </span>
        {!isAll(filter) && (
          <Button className="button button-quiet button-small" onPress={() => onFilter(ALL)}>
            <X size={14} aria-hidden /> Show all
          </Button>
        )}
      </div>
      <Choices tape={tape} count={count} stages={stages} filter={filter} onFilter={onFilter} />
      <EventList events={tape.events} places={places} begin={tape.begin} chosen={chosen} onChoose={setChosen} />
      {shown && <Whole event={shown} onClose={() => setChosen(null)} />}
    </section>
  );
});

function Choices({ tape, count, stages, filter, onFilter }: Props) {
  const types = useMemo(() => [...new Set(tape.events.map((event) => event.type))].sort(), [tape, count]);
  return (
    <div className="events-filter">
      <Choice label="Family" value={filter.family} options={FAMILIES.map((family) => [family, family])} onChange={(family) => onFilter({ ...filter, family: family as Family | null })} />
      <Choice label="Type" value={filter.type} options={types.map((type) => [type, type])} onChange={(type) => onFilter({ ...filter, type })} />
      <Choice
        label="Step"
        value={filter.stage}
        options={[["", "none: planning, the run"], ...stages.map((stage) => [stage.id, stage.title] as const)]}
        onChange={(stage) => onFilter({ ...filter, stage })}
      />
      {(filter.turn !== null || filter.agent !== null) && (
        <Button className="button button-small" onPress={() => onFilter({ ...filter, turn: null, agent: null })} aria-label="Take this part of the filter away">
          {[filter.agent, filter.turn !== null ? `turn ${filter.turn}` : ""].filter(Boolean).join(", ")} <X size={13} aria-hidden />
        </Button>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string | null;
  options: readonly (readonly [string, string])[];
  onChange: (value: string | null) => void;
}

/** What a native select calls "all"; no stage and no type has this name. */
const EVERY = "\u0000";

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <label className="choice tiny">
      <span className="muted">{label}</span>
      <select className="input" value={value ?? EVERY} onChange={(event) => onChange(event.target.value === EVERY ? null : event.target.value)}>
        <option value={EVERY}>all</option>
        {options.map(([name, words]) => (
          <option key={name} value={name}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

function Whole({ event, onClose }: { event: RunEvent; onClose: () => void }) {
  return (
    <section className="event-whole" aria-label={`Event ${event.seq}`}>
      <div className="row">
        <h3 className="grow">
          {event.seq}. {event.type}
        </h3>
        <span className="tiny muted">{moment(event.at)}</span>
        <Button className="button button-quiet button-icon button-small" aria-label="Close the event" onPress={onClose}>
          <X size={16} aria-hidden />
        </Button>
      </div>
      <pre className="event-json" tabIndex={0}>
        {pretty(event)}
      </pre>
    </section>
  );
}
