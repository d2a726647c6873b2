import { ChevronRight } from "lucide-react";
import { type ReactNode, useState } from "react";
import { Button } from "react-aria-components";

interface Props {
  icon: ReactNode;
  title: ReactNode;
  /** Beside the title, smaller. */
  facts?: ReactNode;
  children: ReactNode;
}

/** A line that unfolds. */
export function Fold({ icon, title, facts, children }: Props) {
  const [open, setOpen] = useState(false);
  return (
    <div className="fold" data-open={open || undefined}>
      <Button className="fold-head" aria-expanded={open} onPress={() => setOpen(!open)}>
        {icon}
        <span className="truncate grow">{title}</span>
        {facts}
        <ChevronRight size={14} aria-hidden className="chevron" data-open={open || undefined} />
      </Button>
      {open && <div className="fold-body">{children}</div>}
    </div>
  );
}
