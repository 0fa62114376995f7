// What is selected in a notebook: the text of an output or of rendered Markdown, if it was selected last, else that of
// the active cell's editor. The page forgets the former as soon as the palette or a menu takes the keyboard.

/**
 * @typedef {{text: string, cell: import("page").Cell, language: string}} Selected
 * @param {import("page").INotebookTracker} notebooks
 * @returns {() => Selected | undefined}
 */
export function selection(notebooks) {
  /** What was selected outside of editors, and in which element. */
  let shown = { text: "", within: /** @type {Node | null} */ (null) };

  document.addEventListener("selectionchange", () => {
    const now = document.getSelection();
    const at = now?.anchorNode;
    const element = at instanceof Element ? at : at?.parentElement;
    if (!now || !element?.closest(".jp-Notebook")) return; // the palette, a menu, another panel
    const isText = element.closest(".jp-Cell-outputArea, .jp-MarkdownOutput") && !element.closest("input, textarea");
    shown = isText ? { text: now.toString(), within: element } : { text: "", within: null };
  });

  return () => {
    const notebook = notebooks.currentWidget?.content;
    const cell = notebook?.widgets.find(({ node }) => node.contains(shown.within));
    if (cell && shown.text.trim()) return { text: shown.text, cell, language: "" };
    const active = notebook?.activeCell;
    const view = active?.editor?.editor;
    const text = view ? view.state.sliceDoc(view.state.selection.main.from, view.state.selection.main.to) : "";
    return active && text.trim() ? { text, cell: active, language: languageOf(active) } : undefined;
  };
}

/** What a fence says of a cell's text. @param {import("page").Cell} cell */
export function languageOf({ model }) {
  return model.type === "code" ? "python" : model.type === "markdown" ? "markdown" : "";
}
