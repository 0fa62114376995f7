// Changes of a notebook's cells, each a step of its own to undo, and the way to a cell.

/**
 * Make a change that is undone alone: what is typed shortly before or after it is a step of its own.
 * @param {import("page").Undoable} shared
 * @param {() => void} change
 */
export function oneStep({ undoManager }, change) {
  undoManager?.stopCapturing();
  change();
  undoManager?.stopCapturing();
}

/**
 * Put a text into a cell.
 * @param {import("page").Notebook} notebook
 * @param {number} at
 * @param {string} text
 */
export function setSource(notebook, at, text) {
  const { sharedModel } = notebook.widgets[at].model;
  oneStep(sharedModel, () => sharedModel.setSource(text));
}

/**
 * Put a cell below another, and go to it; in edit mode the cursor is at its end. It is the active cell at once.
 * @param {import("page").Notebook} notebook
 * @param {number} at
 * @param {"code" | "raw"} type
 * @param {string} source
 * @param {"command" | "edit"} mode
 */
export async function insertBelow(notebook, at, type, source, mode) {
  const model = notebook.model?.sharedModel;
  if (!model) return;
  const metadata = type === "code" ? { trusted: true } : {};
  oneStep(model, () => void model.insertCell(at + 1, { cell_type: type, source, metadata }));
  const made = notebook.widgets[at + 1];
  if (!(await goTo(notebook, at + 1, mode)) || mode !== "edit") return;
  made.editor?.setCursorPosition(/** @type {{}} */ (made.editor.getPositionAt(source.length)));
}

/**
 * Another kind of cell in the place of a cell, with its id and metadata; it is edited if the cell was.
 * @param {import("page").Notebook} notebook
 * @param {import("page").Cell} cell
 * @param {"code" | "markdown"} kind
 * @param {string} source
 * @param {unknown} attachments
 */
export function replaceCell(notebook, cell, kind, source, attachments) {
  const index = notebook.widgets.indexOf(cell);
  const model = notebook.model?.sharedModel;
  if (index < 0 || !model) return;
  const { mode } = notebook;
  const { id, metadata } = cell.model.toJSON();
  const trusted = kind === "code" ? { trusted: true } : {};
  const made = { id, cell_type: kind, source, metadata: { ...metadata, ...trusted } };
  oneStep(model, () =>
    model.transact(() => {
      model.deleteCell(index);
      model.insertCell(index, attachments ? { ...made, attachments } : made);
    }),
  );
  if (kind === "markdown") notebook.widgets[index].rendered = false;
  void goTo(notebook, index, mode);
}

/**
 * Make a cell the active one, and show it with the keyboard in it or on it. Returns whether it is the active one still.
 * A cell just made may not be on the page yet (JupyterLab 4.4): until then the notebook has the keyboard.
 * @param {import("page").Notebook} notebook
 * @param {number} at
 * @param {"command" | "edit"} mode
 * @param {"start"} [align] show it from its top
 */
export async function goTo(notebook, at, mode, align) {
  notebook.deselectAll();
  notebook.activeCellIndex = at;
  const cell = notebook.activeCell;
  const take = () => {
    notebook.mode = mode;
    notebook.activate();
  };
  const hasKeyboard = () =>
    mode === "edit" ? cell?.editor?.hasFocus() : cell?.node.contains(document.activeElement);
  if (cell?.node.isConnected) take();
  else notebook.node.focus({ preventScroll: true });
  const isDone = hasKeyboard();
  await notebook.scrollToItem(at, align).catch(() => undefined); // another scroll came between
  await cell?.ready;
  if (!cell || notebook.activeCell !== cell) return false;
  if (!isDone && !hasKeyboard()) take();
  return true;
}
