import type { StageStatus } from "../headrace";
import { levels } from "./levels";

const ACROSS = 74;
const DOWN = 44;
const RADIUS = 14;

export interface GraphStep {
  readonly id: string;
  readonly depends_on: readonly string[];
  readonly status: StageStatus;
}

/** What waits for what, from left to right; the checklist beside it says the same in words. */
export function PlanGraph({ stages }: { stages: readonly GraphStep[] }) {
  const layers = levels(stages);
  const most = Math.max(...layers.map((layer) => layer.length));
  const place = new Map<string, { x: number; y: number }>();
  layers.forEach((layer, column) =>
    layer.forEach((stage, row) =>
      place.set(stage.id, { x: RADIUS + 4 + column * ACROSS, y: RADIUS + 4 + (row + (most - layer.length) / 2) * DOWN }),
    ),
  );
  const width = (layers.length - 1) * ACROSS + 2 * RADIUS + 8;
  const height = (most - 1) * DOWN + 2 * RADIUS + 8;
  return (
    <div className="graph" aria-hidden="true">
      <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        {stages.flatMap((stage) => stage.depends_on.map((id) => <Edge key={`${id} ${stage.id}`} from={place.get(id)} to={place.get(stage.id)} done={status(stages, id)} />))}
        {stages.map((stage, index) => {
          const at = place.get(stage.id) ?? { x: 0, y: 0 };
          return (
            <g key={stage.id} className={`node node-${stage.status}`} transform={`translate(${at.x} ${at.y})`}>
              <circle r={RADIUS} />
              <text textAnchor="middle" dy="0.35em">
                {index + 1}
              </text>
            </g>
          );
        })}
      </svg>
    </div>
  );
}

interface Point {
  x: number;
  y: number;
}

function Edge({ from, to, done }: { from: Point | undefined; to: Point | undefined; done: boolean }) {
  if (!from || !to) return null;
  const [x1, x2] = [from.x + RADIUS, to.x - RADIUS];
  const bend = (x2 - x1) / 2;
  return <path className={done ? "edge edge-done" : "edge"} d={`M${x1} ${from.y}C${x1 + bend} ${from.y} ${x2 - bend} ${to.y} ${x2} ${to.y}`} />;
}

function status(stages: readonly GraphStep[], id: string): boolean {
  return stages.find((stage) => stage.id === id)?.status === "completed";
}
