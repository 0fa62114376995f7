// The text of a cell: is it a prompt, and where in it are the values, `{{…}}`. As IPython finds the magic, and as the
// kernel reads the body (`claude_magic/prompt/expressions.py`), without a Python parser: braces and quotes that close
// stand for valid Python.

const MAGIC = /^%%claude(_map)?(?= |\s*$)/;
const ASKS = /^(?:[^=%\n]*=)?[^\S\n]*%claude(?:_(?:fix|continue|compact|map|warm))?(?=\s|$)/m;
const RAW = /\s--raw(?=\s|$)/;
const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const MAX_EXPRESSION_CHARACTERS = 2000;
const MAX_TRIED = 1000;

/**
 * The first line of a cell that is not blank: its place and its text. As IPython has it, blanks before the magic are
 * no part of it where all lines below are indented as much; elsewhere they stay, and it is no magic.
 * @param {string} text
 */
function firstLine(text) {
  const from = /^(?:[^\S\n]*\n)*/.exec(text)?.[0].length ?? 0;
  const to = text.indexOf("\n", from) < 0 ? text.length : text.indexOf("\n", from);
  const line = text.slice(from, to);
  const indent = /^[ \t]*/.exec(line)?.[0] ?? "";
  const lines = indent ? text.slice(from).split("\n") : [];
  const isCommon = lines.every((each) => each.startsWith(indent) || !each.trim());
  return { to, line: isCommon ? line.slice(indent.length) : line };
}

/** Whether a cell is a prompt. @param {string} text */
export const isPrompt = (text) => MAGIC.test(firstLine(text).line);

/** Whether a cell asks Claude: a prompt, or Python with a line magic that asks. @param {string} text */
export const asks = (text) => isPrompt(text) || ASKS.test(text);

/** Whether its first line says that `{{` has no meaning in it. @param {string} text */
export const isRaw = (text) => RAW.test(firstLine(text).line);

/** Where the line of a prompt's magic ends, blank lines before it included. @param {string} text */
export const endOfMagic = (text) => firstLine(text).to;

/**
 * The places of `{{…}}` below the magic's line, braces included, in order.
 * @param {string} text
 * @returns {{from: number, to: number}[]}
 */
export function expressions(text) {
  const found = [];
  let at = endOfMagic(text);
  for (let tried = 0; tried < MAX_TRIED; tried++) {
    const from = text.indexOf("{{", at);
    if (from < 0) break;
    const to = text[from - 1] === "\\" ? 0 : end(text, from + 2);
    if (to) found.push({ from, to });
    at = to || from + 2;
  }
  return found;
}

/**
 * The end of the expression that starts at `start`, its braces included; 0 where there is none.
 * @param {string} text
 * @param {number} start
 */
function end(text, start) {
  const stop = Math.min(text.length, start + MAX_EXPRESSION_CHARACTERS);
  for (let at = start, open = 0; at < stop; at++) {
    const character = text[at];
    if (character === '"' || character === "'") {
      STRING.lastIndex = at;
      if (!STRING.test(text)) return 0;
      at = STRING.lastIndex - 1;
    } else if (character === "{") {
      open += 1;
    } else if (character === "}") {
      if (!open) return text[at + 1] === "}" && text.slice(start, at).trim() ? at + 2 : 0;
      open -= 1;
    }
  }
  return 0;
}
