// A cell becomes a prompt, and a prompt what it was before: its first line is put there or taken away. The line and its
// options are kept for the next time; a Markdown cell is Markdown again, unless it has an answer by then.

import { oneStep, replaceCell } from "./cells.js";
import { endOfMagic, isPrompt } from "./expressions.js";
import { question } from "./quotes.js";

/** Whether a cell can be turned, and what turns a notebook's active cell. What they keep is kept as the page lives. */
export function turning() {
  /** The magics' lines that were taken away, by cell id. @type {Map<string, string>} */
  const lines = new Map();
  /** The cells that were Markdown, by cell id, with their attachments. @type {Map<string, unknown>} */
  const markdown = new Map();

  /** @param {import("page").Cell | null | undefined} cell */
  const applies = (cell) => Boolean(cell && cell.model.type !== "raw" && cell.model.getMetadata("editable") !== false);

  /** @param {import("page").Notebook | undefined} notebook */
  const execute = (notebook) => {
    const cell = notebook?.activeCell;
    if (!cell || !applies(cell)) return;
    const { id, type, sharedModel } = cell.model;
    const source = sharedModel.getSource();
    if (type === "code" && isPrompt(source)) {
      const end = Math.min(endOfMagic(source) + 1, source.length);
      lines.set(id, `${source.slice(0, end).trimEnd()}\n`);
      const isFree = cell.model.executionState !== "running" && !cell.model.outputs?.length;
      if (markdown.has(id) && isFree) replaceCell(notebook, cell, "markdown", source.slice(end), markdown.get(id));
      else oneStep(sharedModel, () => sharedModel.updateSource(0, end, ""));
    } else if (type === "code") {
      oneStep(sharedModel, () => sharedModel.updateSource(0, 0, lines.get(id) ?? question()));
    } else {
      markdown.set(id, cell.model.toJSON().attachments);
      replaceCell(notebook, cell, "code", (lines.get(id) ?? question()) + source, undefined);
    }
  };
  return { applies, execute };
}
