import { ArrowDown } from "lucide-react";
import { type MouseEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { Button } from "react-aria-components";

/** How near to the end still counts as being there, in pixels. */
const NEAR = 96;

/** Scrolls on with what grows, as long as the reader is at its end and unfolds nothing; else offers to go there. */
export function StickToEnd({ children }: { children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const high = useRef(0);
  const [away, setAway] = useState(false);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      const outer = box.current;
      if (!outer) return;
      high.current = outer.scrollHeight;
      if (stuck.current) outer.scrollTop = outer.scrollHeight;
    });
    if (inner.current) observer.observe(inner.current);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const scrolled = () => {
    const outer = box.current;
    // What scrolls because its content has changed was not scrolled by a person.
    if (!outer || outer.scrollHeight !== high.current) return;
    stuck.current = outer.scrollHeight - outer.scrollTop - outer.clientHeight < NEAR;
    setAway(!stuck.current);
  };
  const unfolding = (event: MouseEvent) => {
    if (event.target instanceof Element && event.target.closest("[aria-expanded]")) stuck.current = false;
  };
  return (
    <div className="scroll-frame">
      <div className="scroll" ref={box} onScroll={scrolled} onClickCapture={unfolding} tabIndex={0} role="region" aria-label="Questions and answers">
        <div className="column exchanges" ref={inner}>
          {children}
        </div>
      </div>
      {away && (
        <Button
          className="button to-end"
          onPress={() => box.current?.scrollTo({ top: box.current.scrollHeight, behavior: "smooth" })}
        >
          <ArrowDown size={16} aria-hidden /> Newest
        </Button>
      )}
    </div>
  );
}
