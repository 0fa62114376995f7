// The text of a cell: is it a prompt, and where in it are the values, `{{…}}`. As the kernel reads it
// (`claude_magic/prompt/expressions.py`), without a Python parser: braces and quotes that close stand for valid Python.

const MAGIC = /^%%claude(_map)?(?=\s|$)/;
const RAW = /\s--raw(?=\s|$)/;
const STRINGS = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g;
const MAX_CLOSINGS_TRIED = 10;
const MAX_EXPRESSIONS = 1000;

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
  const last = text.lastIndexOf("}}");
  let at = text.indexOf("\n") + 1 || text.length;
  while (found.length < MAX_EXPRESSIONS) {
    const from = text.indexOf("{{", at);
    if (from < 0 || from + 2 > last) return found;
    const to = text[from - 1] === "\\" ? 0 : end(text, from + 2);
    if (to) found.push({ from, to });
    at = to || from + 2;
  }
  return found;
}

/** The end of the expression that starts at `start`, its braces included; 0 where there is none. @param {string} text @param {number} start */
function end(text, start) {
  let closing = text.indexOf("}}", start);
  for (let tried = 0; closing >= 0 && tried < MAX_CLOSINGS_TRIED; tried++) {
    const inside = text.slice(start, closing).replace(STRINGS, "s");
    if (!inside.trim()) return 0;
    if (!/["']/.test(inside) && inside.split("{").length === inside.split("}").length) return closing + 2;
    closing = text.indexOf("}}", closing + 1);
  }
  return 0;
}
