// What JupyterLab 4.6.6 makes of Markdown: JSON lines of texts in, JSON lines of HTML out.
//
// JupyterLab: rendermime/src/latex.ts (removeMath, replaceMath) around marked with markedparser-extension's options.
// Its highlighting is stood in for by its own wrapper, which does not escape the language; its diagrams by a div.
import { createInterface } from "node:readline";
import { Marked, Renderer } from "marked";
import { gfmHeadingId } from "marked-gfm-heading-id";
import { mangle } from "marked-mangle";

const SPLIT = /(\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+|@@\d+@@|\\\\[()[\]])/i;
const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escapeHtml = (text) => text.replace(/[&<>]/g, (character) => entities[character]);

function removeMath(source) {
  const math = [];
  let shown = (text) => text;
  if (source.includes("`") || source.includes("~~~")) {
    const hide = (code) => code.replace(/\$/g, "~D");
    source = source
      .replace(/~/g, "~T")
      .replace(/^(?<fence>`{3,}|(~T){3,})[^`\n]*\n([\s\S]*?)^\k<fence>`*$/gm, hide)
      .replace(/(^|[^\\])(`+)([^\n]*?[^`\n])\2(?!`)/gm, hide);
    shown = (text) => text.replace(/~([TD])/g, (_, letter) => (letter === "T" ? "~" : "$"));
  }
  const pieces = source.replace(/\r\n?/g, "\n").split(SPLIT);
  let start = null, end = null, last = null, braces = 0;
  const take = (stop) => {
    math.push(shown(escapeHtml(pieces.slice(start, stop + 1).join(""))));
    for (let index = start + 1; index <= stop; index++) pieces[index] = "";
    pieces[start] = `@@${math.length - 1}@@`;
  };
  for (let index = 1; index < pieces.length; index += 2) {
    const piece = pieces[index];
    if (piece.charAt(0) === "@") {
      pieces[index] = `@@${math.length}@@`;
      math.push(piece);
    } else if (start !== null) {
      if (piece === end) {
        if (braces) last = index;
        else { take(index); start = end = last = null; }
      } else if (/\n.*\n/.test(piece)) {
        if (last !== null) { index = last; take(index); }
        start = end = last = null;
        braces = 0;
      } else if (piece === "{") braces++;
      else if (piece === "}" && braces) braces--;
    } else if (piece === "$" || piece === "$$") [start, end, braces] = [index, piece, 0];
    else if (piece === "\\\\(" || piece === "\\\\[") [start, end, braces] = [index, piece.slice(-1) === "(" ? "\\\\)" : "\\\\]", 0];
    else if (piece.substr(1, 5) === "begin") [start, end, braces] = [index, "\\end" + piece.substr(6), 0];
  }
  if (start !== null && last !== null) take(last);
  return { text: shown(pieces.join("")), math };
}

function replaceMath(html, math) {
  return html.replace(/@@(\d+)@@/g, (_, index) => {
    const group = math[index] ?? "undefined";
    const [opening, closing] = [group.substr(0, 3), group.substr(group.length - 3)];
    if (opening === "\\\\(" && closing === "\\\\)") return `\\(${group.substring(3, group.length - 3)}\\)`;
    if (opening === "\\\\[" && closing === "\\\\]") return `\\[${group.substring(3, group.length - 3)}\\]`;
    return group;
  });
}

const renderer = new Renderer();
const originalCode = renderer.code;
renderer.code = function (token) {
  if (token.lang === "mermaid") return `<div class="jp-RenderedMermaid">${escapeHtml(token.text)}</div>`;
  if (token.lang) return `<pre><code class="language-${token.lang}">${escapeHtml(token.text)}</code></pre>`;
  return originalCode.call(this, token);
};
const marked = new Marked(gfmHeadingId(), mangle());

for await (const line of createInterface({ input: process.stdin })) {
  const { text, math } = removeMath(JSON.parse(line));
  const html = await marked.parse(text, { async: true, gfm: true, renderer });
  process.stdout.write(JSON.stringify(replaceMath(html, math)) + "\n");
}
