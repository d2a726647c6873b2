import { FileSearch, GitBranch, MessageCircleQuestion, Radio } from "lucide-react";
import { Button } from "react-aria-components";

export const EXAMPLES = [
  "What do these documents say about recovery?",
  "Compare the two ways of storing runs, and say when to use which.",
  "What should I know before I put this into production?",
];

const STEPS = [
  { icon: MessageCircleQuestion, words: "A planner, a guardrail and a titler read your question at the same time." },
  { icon: GitBranch, words: "The plan becomes steps; specialized agents work on them side by side, with tools." },
  { icon: Radio, words: "Every word arrives live and is stored first: close the page, come back, it goes on." },
  { icon: FileSearch, words: "Claims carry marks; click one to see the very passage it rests on." },
];

/** What a first visitor sees: what this is, what will happen, and three questions to begin with. */
export function Welcome({ onExample }: { onExample: (question: string) => void }) {
  return (
    <div className="column welcome">
      <h1>What would you like to know?</h1>
      <p className="muted welcome-lead">
        Ask a question about the documents this server was started with. Headrace plans the work, lets agents do it, and shows you each
        step as it happens.
      </p>
      <ul className="examples" aria-label="Example questions">
        {EXAMPLES.map((question) => (
          <li key={question}>
            <Button className="button example" onPress={() => onExample(question)}>
              {question}
            </Button>
          </li>
        ))}
      </ul>
      <h2 className="visually-hidden">What will happen</h2>
      <ol className="welcome-steps">
        {STEPS.map(({ icon: Icon, words }) => (
          <li key={words}>
            <Icon size={18} aria-hidden />
            <span>{words}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
