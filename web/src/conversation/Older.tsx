/** Pages of what is older than what is shown, one at a time. */

import { useState } from "react";
import { Button } from "react-aria-components";

import { useAction } from "./useAction";

interface Page<T> {
  items: T[];
  /** Where the next page begins; null: this is the last. */
  next: string | null;
}

/** Older pages, in the order in which a page has its items; each new one stands before those loaded already. */
export function useOlder<T>(load: (before: string) => Promise<Page<T>>) {
  const [items, setItems] = useState<readonly T[]>([]);
  const [next, setNext] = useState<string | null | undefined>(undefined);
  const { busy, problem, act } = useAction();
  const more = (first: string) =>
    void act(async () => {
      const page = await load(next ?? first);
      setItems((known) => [...page.items, ...known]);
      setNext(page.next);
    });
  return { items, next, busy, problem, more };
}

interface Props {
  older: Omit<ReturnType<typeof useOlder>, "items">;
  /** Where the first older page begins; null: there is none. */
  first: string | null;
  words: string;
}

export function OlderButton({ older, first, words }: Props) {
  if (first === null || older.next === null) return null;
  return (
    <Button className="button button-quiet button-small older" isDisabled={older.busy} onPress={() => older.more(first)}>
      {older.problem ?? words}
    </Button>
  );
}
