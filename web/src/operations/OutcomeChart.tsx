/** What became of the runs over the window, as stacked bars; and the same as a table for those who cannot see them. */

import type { Report, Slot } from "../api/statistics";
import { plural } from "../ui/format";
import { PARTS, type Part } from "./outcomes";

const HEIGHT = 120;
const WIDTH = 30;
const GAP = 6;

export function OutcomeChart({ report }: { report: Report }) {
  const slots = report.over_time;
  const most = Math.max(1, ...slots.map(sum));
  return (
    <figure className="chart">
      <svg viewBox={`0 0 ${slots.length * WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`Outcomes over time: ${words(report)}`}>
        <line className="chart-base" x1={0} x2={slots.length * WIDTH} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} />
        {slots.map((slot, n) => (
          <Stack key={slot.begins_at} slot={slot} x={n * WIDTH + GAP / 2} most={most} hours={hoursOf(report)} />
        ))}
      </svg>
      <div className="chart-axis tiny tabular muted" aria-hidden>
        {[0, 6, 12, 18].map((n) => (
          <span key={n}>{slots[n] ? label(slots[n].begins_at, hoursOf(report)) : ""}</span>
        ))}
        <span>now</span>
      </div>
      <Table report={report} />
    </figure>
  );
}

function Stack({ slot, x, most, hours }: { slot: Slot; x: number; most: number; hours: number }) {
  let y = HEIGHT;
  const told = PARTS.filter((part) => slot[part.name] > 0).map((part) => `${slot[part.name]} ${part.words}`);
  return (
    <g>
      <title>{`from ${label(slot.begins_at, hours)}: ${told.join(", ") || "no runs"}`}</title>
      <rect className="chart-room" x={x - GAP / 2} y={0} width={WIDTH} height={HEIGHT} />
      {PARTS.map((part) => {
        const height = (slot[part.name] / most) * (HEIGHT - 8);
        y -= height;
        return height > 0 ? <rect key={part.name} className={`part-${part.name}`} x={x} y={y} width={WIDTH - GAP} height={height} /> : null;
      })}
    </g>
  );
}

function Table({ report }: { report: Report }) {
  const slots = report.over_time.filter((slot) => sum(slot) > 0);
  return (
    <details className="chart-table">
      <summary className="tiny">As a table</summary>
      <div className="table-scroll" tabIndex={0} role="group" aria-label="Outcomes as a table">
        <table className="table">
          <thead>
            <tr>
              <th scope="col">From</th>
              {PARTS.map((part: Part) => (
                <th key={part.name} scope="col" className="number">
                  {part.words}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {slots.map((slot) => (
              <tr key={slot.begins_at}>
                <th scope="row">{label(slot.begins_at, hoursOf(report))}</th>
                {PARTS.map((part) => (
                  <td key={part.name} className="number">
                    {slot[part.name]}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function sum(slot: Slot): number {
  return PARTS.reduce((total, part) => total + slot[part.name], 0);
}

function words(report: Report): string {
  const said = PARTS.filter((part) => report.outcomes[part.name] > 0).map((part) => `${report.outcomes[part.name]} ${part.words}`);
  return said.length > 0 ? said.join(", ") : plural(0, "run");
}

function hoursOf(report: Report): number {
  return (report.at - report.since) / 3600;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit" });

function label(at: number, hours: number): string {
  return (hours > 24 ? DAY : TIME).format(new Date(at * 1000));
}
