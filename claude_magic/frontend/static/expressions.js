// The text of a cell: is it a prompt, and where in it are the values, `{{…}}`. As the kernel reads it
// (`claude_magic/prompt/expressions.py`), without a Python parser: braces and quotes that close stand for valid Python.

const MAGIC = /^%%claude(_map)?(?=\s|$)/;
const RAW = /\s--raw(?=\s|$)/;
const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const MAX_EXPRESSION_CHARACTERS = 2000;
const MAX_TRIED = 1000;

/** Whether a cell's first line makes it a prompt. @param {string} line */
export const isPrompt = (line) => MAGIC.test(line);

/** Whether it says that `{{` has no meaning in it. @param {string} line */
export const isRaw = (line) => RAW.test(line);

/**
 * The places of `{{…}}` below the first line, braces included, in order.
 * @param {string} text
 * @returns {{from: number, to: number}[]}
 */
export function expressions(text) {
  const found = [];
  let at = text.indexOf("\n") + 1 || text.length;
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
