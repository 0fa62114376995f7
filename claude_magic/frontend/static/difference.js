// The difference of two texts, by lines: which of them go, come, or stay; and how it is shown.

import { element } from "./elements.js";

const MAX_COMPARED = 4_000_000;
const CONTEXT_LINES = 3;
const SIGNS = { gone: "-", new: "+", same: " " };
const TAGS = /** @type {const} */ ({ gone: "del", new: "ins", same: "span" });
// What a reader would not see: controls, formats, characters without a glyph, and those that look like a space.
const UNSEEN = /[^\P{C}\t]|[\u2028\u2029\u3164\u2800\uffa0\ufe00-\ufe0f]/gu;

/**
 * The difference as an element, line under line, without the lines that stay far from any that does not.
 * @param {string} before
 * @param {string} after
 */
export function shownDifference(before, after) {
  const shown = element("div", "claude-difference");
  const lines = difference(before.split("\n"), after.split("\n"));
  const changed = lines.flatMap(({ kind }, at) => (kind === "same" ? [] : [at]));
  let next = 0;
  let left = 0;
  lines.forEach(({ kind, text }, at) => {
    while (changed[next] + CONTEXT_LINES < at) next++;
    if (!(changed[next] - CONTEXT_LINES <= at)) return void left++;
    if (left) shown.append(skipped(left));
    left = 0;
    shown.append(element(TAGS[kind], `claude-line claude-${kind}`, `${SIGNS[kind]}${visible(text)}`));
  });
  if (left) shown.append(skipped(left));
  shown.tabIndex = 0;
  shown.dataset.lmSuppressShortcuts = "true"; // the arrow keys scroll it
  shown.setAttribute("role", "region");
  shown.setAttribute("aria-label", "Difference between the cell that failed and the corrected code");
  return shown;
}

/** What stands for lines that are not shown. @param {number} count */
const skipped = (count) => element("span", "claude-line claude-skipped", `… ${count} more line${count > 1 ? "s" : ""}`);

/** A text with each character that is not seen as its number, such as `⟨U+202E⟩`. @param {string} text */
const visible = (text) =>
  text.replace(UNSEEN, (each) => `⟨U+${(each.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

/**
 * Lines as they stand in one text, the other, or both, in order; what goes stands before what comes in its place.
 * @param {string[]} before
 * @param {string[]} after
 * @returns {{kind: "gone" | "new" | "same", text: string}[]}
 */
export function difference(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  const most = Math.min(before.length, after.length) - start;
  while (end < most && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  const lines = (/** @type {"gone" | "new" | "same"} */ kind, /** @type {string[]} */ texts) =>
    texts.map((text) => ({ kind, text }));
  return [
    ...lines("same", before.slice(0, start)),
    ...between(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...lines("same", before.slice(before.length - end)),
  ];
}

/**
 * The same for texts that begin and end differently: as few lines as can be go and come. In texts of very many lines,
 * all of them.
 * @param {string[]} before
 * @param {string[]} after
 */
function between(before, after) {
  /** @type {{kind: "gone" | "new" | "same", text: string}[]} */
  const found = [];
  const common = before.length * after.length <= MAX_COMPARED ? lengths(before, after) : undefined;
  let [old, now] = [0, 0];
  while (old < before.length || now < after.length) {
    const rest = old < before.length && now < after.length;
    if (common && rest && before[old] === after[now]) {
      found.push({ kind: "same", text: before[old++] });
      now++;
    } else if (rest ? !common || common[old + 1][now] >= common[old][now + 1] : old < before.length) {
      found.push({ kind: "gone", text: before[old++] });
    } else {
      found.push({ kind: "new", text: after[now++] });
    }
  }
  return found;
}

/**
 * How many lines the rests of two texts have in common at most, by where the rests begin.
 * @param {string[]} before
 * @param {string[]} after
 */
function lengths(before, after) {
  const table = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  for (let old = before.length - 1; old >= 0; old--) {
    for (let now = after.length - 1; now >= 0; now--) {
      const other = Math.max(table[old + 1][now], table[old][now + 1]);
      table[old][now] = before[old] === after[now] ? table[old + 1][now + 1] + 1 : other;
    }
  }
  return table;
}
