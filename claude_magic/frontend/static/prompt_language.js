// The language of a prompt: the Markdown that JupyterLab colours its Markdown cells with, fenced code included; the
// magic's line as a block of its own, and Python inside of `{{…}}`. The parsers are the page's own.

import { expressions, isRaw } from "./expressions.js";

/**
 * Raises an Error where the page knows no Markdown or no Python.
 * @param {import("page").Packages} packages
 * @param {import("page").IEditorLanguageRegistry} languages
 * @returns {Promise<import("@codemirror/language").LanguageSupport>}
 */
export async function promptLanguage(packages, languages) {
  const { Language, LanguageSupport } = packages["@codemirror/language"];
  const [markdown, python] = await Promise.all(["ipythongfm", "python"].map((name) => languages.getLanguage(name)));
  if (!markdown?.support || !python?.support) throw new Error("the page has no Markdown or no Python to colour with");
  const prose = markdown.support.language;
  const parser = /** @type {import("@lezer/markdown").MarkdownParser} */ (prose.parser);
  const configured = parser.configure([magicLine(packages), values(packages, python.support.language.parser)]);
  return new LanguageSupport(new Language(prose.data, configured, [], "claude-prompt"));
}

/**
 * The magic's line, which is no Markdown: the first that is not blank, since this is the language of prompts alone.
 * @param {import("page").Packages} packages
 * @returns {import("@lezer/markdown").MarkdownConfig}
 */
function magicLine(packages) {
  const { tags } = packages["@lezer/highlight"];
  return {
    defineNodes: [
      { name: "ClaudeLine", block: true },
      { name: "ClaudeMagic", style: tags.meta },
      { name: "ClaudeOption", style: tags.attributeName },
    ],
    parseBlock: [
      {
        name: "ClaudeLine",
        before: "IndentedCode",
        parse(context, line) {
          const start = context.lineStart;
          if (!line.text.trimStart().startsWith("%%") || textBefore(context).trim()) return false;
          const words = [...line.text.matchAll(/(?<=^\s*)%%\S+|(?<=\s)--?[a-z][\w-]*/g)].map((word, number) =>
            context.elt(
              number ? "ClaudeOption" : "ClaudeMagic",
              start + word.index,
              start + word.index + word[0].length,
            ),
          );
          context.addElement(context.elt("ClaudeLine", start, start + line.text.length, words));
          context.nextLine();
          return true;
        },
      },
    ],
  };
}

/**
 * The text above a line: the parser holds it, though its types do not say so.
 * @param {import("@lezer/markdown").BlockContext} context
 */
function textBefore(context) {
  const { input } = /** @type {{input: import("@lezer/common").Input}} */ (/** @type {unknown} */ (context));
  return context.lineStart ? input.read(0, context.lineStart) : "";
}

/**
 * Python over the Markdown, wherever `{{…}}` stands: all of a cell's values are one text, whose braces part them.
 * @param {import("page").Packages} packages
 * @param {import("@lezer/common").Parser} python
 * @returns {import("@lezer/markdown").MarkdownConfig}
 */
function values(packages, python) {
  const { parseMixed } = packages["@lezer/common"];
  return {
    wrap: parseMixed((node, input) => {
      if (node.name !== "Document" || node.from !== 0) return null;
      const text = input.read(0, node.to);
      const overlay = isRaw(text) ? [] : expressions(text);
      return overlay.length ? { parser: python, overlay } : null;
    }),
  };
}
