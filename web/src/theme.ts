/** Light or dark: as the system says, until a person chooses. */

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const STORED = "headrace-theme";
const listeners = new Set<() => void>();

export function theme(): Theme {
  const stored = localStorage.getItem(STORED);
  return stored === "light" || stored === "dark" ? stored : "system";
}

/** Choose, and remember the choice in this browser. */
export function choose(chosen: Theme): void {
  if (chosen === "system") localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, chosen);
  apply();
  listeners.forEach((listener) => listener());
}

/** Put what was chosen into effect. */
export function apply(): void {
  document.documentElement.dataset["theme"] = theme();
}

export function useTheme(): Theme {
  return useSyncExternalStore((changed) => {
    listeners.add(changed);
    return () => listeners.delete(changed);
  }, theme);
}
