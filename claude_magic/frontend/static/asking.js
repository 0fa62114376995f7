// A new prompt below a cell, about that cell: by its number, and so with its outputs, where the kernel has it under it;
// else quoted as it stands: a cell that has not run, was changed since, is Markdown, or ran in another kernel.

import { insertBelow } from "./cells.js";
import { isPrompt } from "./expressions.js";
import { question, quotation } from "./quotes.js";
import { languageOf } from "./selection.js";

// A line of this package's own, as the kernel sees it (`is_own_cell` of `claude_magic/notebook/executions.py`):
// `--cells` takes no cell that has no other lines.
const OWN = /^\s*%(claude(_\w+)?\b|(re)?load_ext\s+claude_magic\b|config\s+ClaudeMagic\b)/;

/** A prompt about the active cell. @param {import("page").NotebookPanel | null} panel */
export async function askAbout(panel) {
  const notebook = panel?.content;
  const cell = notebook?.activeCell;
  if (!notebook || !cell) return;
  const source = await promptAbout(panel, cell);
  const at = notebook.widgets.indexOf(cell);
  if (at < 0) return; // it was deleted while the kernel was asked
  await insertBelow(notebook, at, "code", source, "edit");
}

/**
 * @param {import("page").NotebookPanel} panel
 * @param {import("page").Cell} cell
 */
async function promptAbout(panel, cell) {
  const source = cell.model.sharedModel.getSource();
  const isCode = cell.model.type === "code";
  // A prompt is in the conversation already.
  if (!source.trim() || (isCode && isPrompt(source))) return question();
  const lines = source.split("\n").filter((line) => line.trim());
  const number = isCode && !lines.every((line) => OWN.test(line)) ? await numberOf(panel, cell, source) : 0;
  return number ? question(`--cells ${number}`) : quotation(source, languageOf(cell));
}

/**
 * The number under which the kernel has just this text; 0 where it has not, or is busy with something else.
 * @param {import("page").NotebookPanel} panel
 * @param {import("page").Cell} cell
 * @param {string} source
 */
async function numberOf({ content, sessionContext }, cell, source) {
  const kernel = sessionContext.session?.kernel;
  const number = cell.model.executionCount ?? 0;
  const isBusy = kernel?.status !== "idle" || content.widgets.some(({ model }) => model.executionState === "running");
  if (!kernel || !number || isBusy) return 0;
  const wanted = { hist_access_type: "range", session: 0, start: number, stop: number + 1, raw: true, output: false };
  try {
    const { content: reply } = await kernel.requestHistory(wanted);
    const ran = reply.history?.find(([, line]) => line === number)?.[2];
    return typeof ran === "string" && ran.trimEnd() === source.trimEnd() ? number : 0;
  } catch {
    return 0; // the kernel went away
  }
}
