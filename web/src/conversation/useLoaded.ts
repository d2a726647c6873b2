import { type DependencyList, useCallback, useEffect, useState } from "react";

import { ApiProblem, useKey } from "../api/http";

export interface Loaded<T> {
  value: T | null;
  /** Why the latest try failed; the value before it stays. */
  problem: ApiProblem | null;
  again: () => void;
}

/** Loads something now, whenever `of` or the key changes, and when `again` is called. */
export function useLoaded<T>(load: () => Promise<T>, of: DependencyList): Loaded<T> {
  const key = useKey();
  const [state, setState] = useState<{ value: T | null; problem: ApiProblem | null }>({ value: null, problem: null });
  const [asked, setAsked] = useState(0);
  const again = useCallback(() => setAsked((n) => n + 1), []);
  useEffect(() => setState({ value: null, problem: null }), [key, ...of]);
  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && setState({ value, problem: null }),
      (error: unknown) => {
        const problem = error instanceof ApiProblem ? error : new ApiProblem(0, "broken", String(error));
        if (current) setState((before) => ({ value: before.value, problem }));
      },
    );
    return () => {
      current = false;
    };
  }, [key, asked, ...of]);
  return { ...state, again };
}
