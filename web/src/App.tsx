/** The frame around the three views: the bar, where one is, and the question for a key. */

import { Activity, MessagesSquare, Monitor, Moon, Sun } from "lucide-react";
import { lazy, Suspense, useEffect, useRef } from "react";
import { Button } from "react-aria-components";

import { ConversationView } from "./conversation/ConversationView";
import { href, type Route, useRoute } from "./routes";
import { choose, type Theme, useTheme } from "./theme";
import "./app.css";
import { Boundary } from "./ui/Boundary";
import { KeyDialog } from "./ui/KeyDialog";
import { Notice } from "./ui/Notice";

const RunView = lazy(() => import("./run/RunView"));
const OperationsView = lazy(() => import("./operations/OperationsView"));

export function App() {
  const route = useRoute();
  return (
    <>
      <a
        className="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("main")?.focus();
        }}
      >
        Skip to the content
      </a>
      <Bar route={route} />
      <main id="main" tabIndex={-1} className={`main main-${route.view}`}>
        <Boundary of={href(route)} instead={<Broken />}>
          <Suspense fallback={<p className="loading muted">Loading …</p>}>
            {route.view === "conversation" && <ConversationView conversation={route.conversation} run={route.run} />}
            {route.view === "run" && <RunView key={route.run} run={route.run} />}
            {route.view === "operations" && <OperationsView />}
          </Suspense>
        </Boundary>
      </main>
      <KeyDialog />
    </>
  );
}

function Broken() {
  return (
    <div className="loading">
      <Notice kind="bad">This cannot be shown: a mistake in the page. Load it again; the runs themselves are not touched by it.</Notice>
    </div>
  );
}

const START: Route = { view: "conversation", conversation: null, run: null };

function Bar({ route }: { route: Route }) {
  const seen = useRef(START);
  useEffect(() => {
    if (route.view === "conversation") seen.current = route;
  }, [route]);
  const back = () => href(route.view === "conversation" ? START : seen.current);
  return (
    <header className="bar">
      <a className="brand" href={href(START)} aria-label="Headrace, a new conversation">
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
          <rect width="32" height="32" rx="8" fill="currentColor" />
          <path d="M5 12c3.5-4 7.500-4 11 0s7.500 4 11 0M5 20.500c3.500-4 7.500-4 11 0s7.500 4 11 0" className="brand-waves" />
        </svg>
        <span>Headrace</span>
      </a>
      <nav aria-label="Views" className="views">
        <a href={back()} aria-current={route.view === "operations" ? undefined : "page"}>
          <MessagesSquare size={16} aria-hidden />
          <span>Conversations</span>
        </a>
        <a href="#/operations" aria-current={route.view === "operations" ? "page" : undefined}>
          <Activity size={16} aria-hidden />
          <span>Operations</span>
        </a>
      </nav>
      <span className="grow" />
      <ThemeSwitch />
    </header>
  );
}

const NEXT: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const WORDS: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };
const ICONS = { system: Monitor, light: Sun, dark: Moon };

function ThemeSwitch() {
  const theme = useTheme();
  const Icon = ICONS[theme];
  return (
    <Button
      className="button button-quiet button-icon"
      aria-label={`Colours: ${WORDS[theme]}. Switch to ${WORDS[NEXT[theme]]}`}
      onPress={() => choose(NEXT[theme])}
    >
      <Icon size={18} aria-hidden />
    </Button>
  );
}
