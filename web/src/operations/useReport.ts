/** The report, asked for again every ten seconds while somebody can see it. */

import { useEffect, useState } from "react";

import { ApiProblem, useKey } from "../api/http";
import { type Report, statistics } from "../api/statistics";

export const EVERY_MS = 10_000;

export interface Reported {
  report: Report | null;
  /** Why the latest try failed; the report before it stays. */
  problem: string | null;
}

const NOTHING: Reported = { report: null, problem: null };

export function useReport(hours: number): Reported {
  const key = useKey();
  const [state, setState] = useState<Reported>(NOTHING);
  useEffect(() => {
    let current = true;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      clearTimeout(timer);
      try {
        const report = await statistics(hours);
        if (current) setState({ report, problem: null });
      } catch (error) {
        const words = error instanceof ApiProblem ? error.message : String(error);
        if (current) setState((before) => ({ ...before, problem: words }));
      }
      if (current && !document.hidden) timer = setTimeout(() => void load(), EVERY_MS);
    };
    const seen = () => {
      if (!document.hidden) void load();
    };
    setState(NOTHING);
    void load();
    document.addEventListener("visibilitychange", seen);
    return () => {
      current = false;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [hours, key]);
  return state;
}
