import { CircleAlert, Info, TriangleAlert } from "lucide-react";
import type { ReactNode } from "react";

type Kind = "info" | "warn" | "bad";

const ICON = { info: Info, warn: TriangleAlert, bad: CircleAlert };

/** A sentence a person should not miss; a `bad` one is read out at once. */
export function Notice({ kind = "info", children }: { kind?: Kind; children: ReactNode }) {
  const Icon = ICON[kind];
  return (
    <div className={`notice notice-${kind}`} role={kind === "bad" ? "alert" : undefined}>
      <Icon size={16} aria-hidden />
      <div className="grow">{children}</div>
    </div>
  );
}
