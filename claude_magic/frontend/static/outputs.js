// What the outputs of a cell hold, and where in which notebook a part of the page stands.

/** Whether the outputs of a cell hold an error. @param {import("page").CellModel | undefined} cell */
export const hasFailed = (cell) => cell?.type === "code" && listed(cell).some((output) => output.type === "error");

/** The outputs of a cell, in order. @param {import("page").CellModel} cell */
export const listed = ({ outputs }) =>
  outputs ? Array.from({ length: outputs.length }, (_, at) => outputs.get(at)) : [];

/**
 * The notebook in which an element stands, and its cell there; none where it is shown elsewhere.
 * @param {import("page").INotebookTracker} notebooks
 * @param {Node} node
 */
export function placeOf(notebooks, node) {
  const panel = notebooks.find((each) => each.node.contains(node));
  const at = panel?.content.widgets.findIndex((cell) => cell.node.contains(node)) ?? -1;
  return panel && at >= 0 ? { notebook: panel.content, at } : undefined;
}
