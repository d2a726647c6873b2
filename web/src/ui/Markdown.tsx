/**
 * Text of a model as Markdown. It is untrusted: HTML in it stays text (no `rehype-raw`), links lead to http, https and
 * mailto only, and pictures are left out, since fetching one would tell a stranger what was said here. react-markdown
 * makes React elements and never an HTML string, so there is nothing left that would have to be sanitised.
 */

import type { Root } from "mdast";
import { findAndReplace } from "mdast-util-find-and-replace";
import { type ComponentPropsWithoutRef, createContext, memo, useContext, useDeferredValue } from "react";
import ReactMarkdown, { type Components, type ExtraProps } from "react-markdown";
import remarkBreaks from "remark-breaks";
import remarkGfm from "remark-gfm";

import { Boundary } from "./Boundary";
import "./markdown.css";
import { useSettled } from "./useSettled";

/** Opens the source a mark such as `[1]` stands for; undefined for a mark without a source, which stays text. */
export type OpenSource = (sourceId: string) => (() => void) | undefined;

export const Sources = createContext<OpenSource>(() => undefined);

const MARK = /\[([0-9]{1,3})\](?!\()/g;
const SAFE = /^(https?:|mailto:)/i;

/** `text` as Markdown; it may grow. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const { settled, end, blocks } = useSettled(useDeferredValue(text));
  return (
    <div className="markdown">
      {settled.map((piece, place) => (
        <Piece key={place} text={piece} />
      ))}
      <Piece text={end} onBlocks={blocks} />
    </div>
  );
});

interface PieceProps {
  text: string;
  onBlocks?: (starts: readonly number[]) => void;
}

/** Part of a text; parsed again only when it has changed. */
const Piece = memo(
  function Piece({ text, onBlocks }: PieceProps) {
    const plugins = onBlocks ? [...PLUGINS, [told, onBlocks] as [typeof told, typeof onBlocks]] : PLUGINS;
    return (
      <Boundary of={text} instead={<p className="as-written">{text}</p>}>
        <ReactMarkdown remarkPlugins={plugins} components={COMPONENTS} urlTransform={safe}>
          {text}
        </ReactMarkdown>
      </Boundary>
    );
  },
  (before, after) => before.text === after.text,
);

/** Tells where the blocks begin. */
function told(tell: (starts: readonly number[]) => void) {
  return (tree: Root): void => tell(tree.children.map((block) => block.position?.start.offset ?? 0));
}

/** The address when it may be followed, else nothing. */
export function safe(url: string): string {
  return SAFE.test(url.trim()) ? url : "";
}

/** Marks such as `[1]` become buttons that open their source. */
function marks() {
  return (tree: Root): void => {
    const mark = (_: string, id: string) => ({
      type: "emphasis" as const,
      data: { hName: "cite", hProperties: { dataSource: id } },
      children: [{ type: "text" as const, value: id }],
    });
    findAndReplace(tree, [[MARK, mark]], { ignore: ["link", "linkReference"] });
  };
}

function Cite({ node, children }: ComponentPropsWithoutRef<"cite"> & ExtraProps) {
  const id = String(node?.properties["dataSource"] ?? "");
  const open = useContext(Sources)(id);
  if (open === undefined) return <>[{children}]</>;
  return (
    <button type="button" className="cite" aria-label={`Source ${id}`} onClick={open}>
      {children}
    </button>
  );
}

function Link({ href, children }: ComponentPropsWithoutRef<"a"> & ExtraProps) {
  if (!href) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function Picture({ alt }: ComponentPropsWithoutRef<"img"> & ExtraProps) {
  return <span className="picture-left-out">[a picture was left out{alt ? `: ${alt}` : ""}]</span>;
}

function Table({ children }: ComponentPropsWithoutRef<"table"> & ExtraProps) {
  return (
    <div className="table" tabIndex={0} role="group" aria-label="Table">
      <table>{children}</table>
    </div>
  );
}

function Pre({ children }: ComponentPropsWithoutRef<"pre"> & ExtraProps) {
  return <pre tabIndex={0}>{children}</pre>;
}

function Task({ checked }: ComponentPropsWithoutRef<"input"> & ExtraProps) {
  return <span>{checked ? "☑ " : "☐ "}</span>;
}

const PLUGINS = [remarkGfm, remarkBreaks, marks];
const COMPONENTS: Components = { a: Link, img: Picture, cite: Cite, table: Table, pre: Pre, input: Task };
