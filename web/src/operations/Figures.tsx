/** Tables of figures with a bar in their most telling column: read as text, and seen as a chart. */

import type { ReactNode } from "react";

export interface Column<T> {
  head: string;
  cell: (row: T) => ReactNode;
  /** Figures stand to the right. */
  number?: boolean;
  /** How long the bar behind the figure is; only compared within the column. */
  bar?: (row: T) => number;
}

interface Props<T> {
  title: string;
  /** A sentence on what is counted. */
  about?: string;
  rows: readonly T[];
  name: (row: T) => string;
  columns: readonly Column<T>[];
  /** Said instead of a table without rows; nothing when left out. */
  empty?: string;
}

export function Figures<T>({ title, about, rows, name, columns, empty }: Props<T>) {
  if (rows.length === 0 && empty === undefined) return null;
  const most = columns.map((column) => Math.max(0, ...(column.bar ? rows.map(column.bar) : [])));
  return (
    <section className="card figures" aria-label={title}>
      <h2>{title}</h2>
      {about && <p className="tiny muted">{about}</p>}
      {rows.length === 0 ? (
        <p className="small muted">{empty}</p>
      ) : (
        <div className="table-scroll" tabIndex={0} role="group" aria-label={title}>
          <table className="table">
            <thead>
              <tr>
                {columns.map((column) => (
                  <th key={column.head} scope="col" className={column.number ? "number" : undefined}>
                    {column.head}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={name(row)}>
                  {columns.map((column, n) => (
                    <td key={column.head} className={column.number ? "number tabular" : undefined}>
                      {column.cell(row)}
                      {column.bar && (most[n] ?? 0) > 0 && <Share of={column.bar(row) / (most[n] ?? 1)} />}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Share({ of }: { of: number }) {
  return (
    <svg className="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden>
      <rect width={Math.max(of > 0 ? 1 : 0, of * 100)} height={4} rx={1} />
    </svg>
  );
}
