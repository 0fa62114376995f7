// A correction of a cell, as `%claude_fix` (`claude_magic/magics/code_cell.py`) has it in its output: read as what it
// may be, a stranger's. The kernel masks secrets in it; here they come back from the cell itself.

export const FIX_TYPE = "application/vnd.claude-magic.fix+json";
const MAX_CHARACTERS = 200_000;

/** @typedef {{cell: string, source: string, mended: string, mask: string}} Correction */

/**
 * The correction in an output's data; none where it is not of the form that the kernel gives it.
 * @param {unknown} data
 * @returns {Correction | undefined}
 */
export function readCorrection(data) {
  const given = /** @type {Record<string, unknown>} */ (data && typeof data === "object" ? data : {});
  const { cell, source, mended, mask } = given;
  for (const text of [cell, source, mended, mask]) {
    if (typeof text !== "string" || !text || text.length > MAX_CHARACTERS) return undefined;
  }
  return /** @type {Correction} */ ({ cell, source, mended, mask });
}

/**
 * Whether a cell has a text of a correction. What is masked in it may be anything.
 * @param {string} current
 * @param {string} text
 * @param {Correction} correction
 */
function matches(current, text, { mask }) {
  const [now, then] = [lines(current), lines(text)];
  return now.length === then.length && then.every((line, at) => line.includes(mask) || line === now[at]);
}

/**
 * Code of Claude's as it goes into the cell: a line that is masked comes back from the cell, if it is unchanged.
 * @param {string} code
 * @param {string} current
 * @param {Correction} correction
 */
function unmasked(code, current, { source, mask }) {
  /** @type {Map<string, string[]>} */
  const originals = new Map();
  const now = lines(current);
  lines(source).forEach((line, at) => originals.set(line, [...(originals.get(line) ?? []), now[at]]));
  const next = (/** @type {string} */ line) => {
    const left = originals.get(line) ?? [line];
    return left.length > 1 ? left.shift() : left[0];
  };
  return code
    .split("\n")
    .map((line) => (line.includes(mask) ? next(line) : line))
    .join("\n");
}

/** The lines of a cell; the kernel does not see line breaks at its end. @param {string} text */
const lines = (text) => text.replace(/\n+$/, "").split("\n");

/** @typedef {"open" | "done" | "changed" | "locked" | "missing"} State */

/**
 * What can be done with code in place of the cell that failed, as the notebook is now; with the cell's place in it, its
 * text, and the text that it would have.
 * @param {import("page").Notebook | undefined} notebook
 * @param {Correction} correction
 * @param {string} code
 * @returns {{state: State, at: number, current: string, wanted: string}}
 */
export function standing(notebook, correction, code) {
  const at = notebook?.widgets.findIndex(({ model }) => model.id === correction.cell) ?? -1;
  const model = notebook?.widgets[at]?.model;
  if (!model || model.type !== "code") return { state: "missing", at, current: correction.source, wanted: code };
  const current = model.sharedModel.getSource();
  if (matches(current, correction.source, correction)) {
    const wanted = unmasked(code, current, correction);
    const state = wanted === current ? "done" : model.getMetadata("editable") === false ? "locked" : "open";
    return { state, at, current, wanted };
  }
  const state = matches(current, code, correction) ? "done" : "changed";
  return { state, at, current: correction.source, wanted: code };
}

/** What the reader is told of each state. @type {Record<State, string>} */
export const SAID = {
  open: "",
  done: "The corrected code is in the cell.",
  changed: "The cell has changed since it failed: nothing is put in its place.",
  locked: "The cell that failed cannot be edited.",
  missing: "The cell that failed is not in this notebook.",
};
