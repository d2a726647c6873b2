import { useEffect, useRef, useState } from "react";

/** How long the end of a text may become before more of it settles, in characters: what is parsed anew for each token. */
const LOOSE = 2500;

export interface Pieces {
  /** What will not change any more, in pieces that each stay the same string. */
  settled: readonly string[];
  /** What may still change. */
  end: string;
  /** Is told where the blocks of `end` begin, as offsets, whenever it is parsed. */
  blocks: (starts: readonly number[]) => void;
}

/**
 * A growing Markdown text in pieces, cut where the parser itself began a block, so that each token costs the parsing of its
 * end and not of all that was said. The last two blocks never settle: what comes next may still change them. A reference
 * whose definition stands in another piece stays text while the text grows.
 */
export function useSettled(text: string): Pieces {
  const first = useRef(text);
  const starts = useRef<readonly number[]>([]);
  const [settled, setSettled] = useState<readonly string[]>([]);
  const length = settled.reduce((sum, piece) => sum + piece.length, 0);
  const fits = text.startsWith(settled.join(""));
  const end = fits ? text.slice(length) : text;
  useEffect(() => {
    if (!fits) {
      setSettled([]);
      return;
    }
    const cut = starts.current.at(-2) ?? 0;
    const grew = text !== first.current;
    if (grew && end.length > LOOSE && cut > 0) setSettled((before) => [...before, end.slice(0, cut)]);
  }, [text, end, fits]);
  const blocks = (found: readonly number[]) => {
    starts.current = found;
  };
  return { settled: fits ? settled : [], end, blocks };
}
