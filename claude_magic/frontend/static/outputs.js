// What the features for a cell's outputs share: where in which notebook a part of the page stands, and the elements
// that they are made of.

import { element } from "./elements.js";

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

/**
 * Put a cell below another, as one step that can be undone, and go to it.
 * @param {import("page").Notebook} notebook
 * @param {number} at
 * @param {"code" | "raw"} type
 * @param {string} source
 */
export function insertBelow(notebook, at, type, source) {
  const shared = notebook.model?.sharedModel;
  shared?.undoManager?.stopCapturing();
  shared?.insertCell(at + 1, { cell_type: type, source, metadata: {} });
  shared?.undoManager?.stopCapturing();
  goTo(notebook, at + 1, "command");
}

/**
 * Make a cell the active one, with the keyboard in it or on it.
 * @param {import("page").Notebook} notebook
 * @param {number} at
 * @param {"command" | "edit"} mode
 */
export function goTo(notebook, at, mode) {
  notebook.deselectAll();
  notebook.activeCellIndex = at;
  notebook.mode = mode;
  notebook.activate();
  void notebook.scrollToItem(at);
}

/**
 * A button with a text or an icon. The notebook's own keys, such as Enter, are not for it while it has the keyboard.
 * @param {string} name
 * @param {string} title
 * @param {() => void} pressed
 * @param {import("page").LabIcon} [icon]
 */
export function button(name, title, pressed, icon) {
  const made = element("button", "claude-button", icon ? "" : name);
  made.type = "button";
  made.title = title;
  made.dataset.lmSuppressShortcuts = "true";
  if (icon) {
    made.setAttribute("aria-label", name);
    icon.element({ container: made, tag: "span" });
  }
  made.addEventListener("click", pressed);
  return made;
}

/** Load the style of what these features show, once. */
export function addStyle() {
  if (document.head.querySelector("link.claude-style")) return;
  const link = element("link", "claude-style");
  link.rel = "stylesheet";
  link.href = new URL("outputs.css", import.meta.url).href;
  document.head.append(link);
}
