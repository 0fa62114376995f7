// Stop that always stops: a button in each cell that asks Claude, while it runs or waits for its turn, wherever the
// active cell is. It interrupts by a request to the server, which hears it however busy the kernel is.

import { button } from "./elements.js";
import { asks } from "./expressions.js";
import { running } from "./running.js";

const COMMAND = "claude-magic:stop";
const CAPTION = "Stop Claude: interrupt the kernel";

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").ICommandPalette | null} palette
 * @returns {(on: boolean) => void}
 */
export function stop(packages, { commands, shell }, notebooks, palette) {
  let on = false;
  const { stopIcon } = packages["@jupyterlab/ui-components"];
  /** The buttons of the cells that run now. @type {Map<import("page").Cell, HTMLElement>} */
  const buttons = new Map();
  const shown = () => (on ? "flex" : "none");

  /** @param {import("page").Cell} cell */
  const remove = (cell) => {
    buttons.get(cell)?.remove();
    buttons.delete(cell);
    commands.notifyCommandChanged(COMMAND);
  };
  /** @param {import("page").NotebookPanel} panel @param {import("page").Cell} cell */
  const add = (panel, cell) => {
    if (buttons.has(cell) || !asks(cell.model.sharedModel.getSource())) return;
    const made = button("Stop Claude", CAPTION, () => void interrupt(panel), stopIcon);
    made.classList.add("claude-stop");
    made.dataset.lmSuppressShortcuts = "true"; // the notebook's own keys, such as Enter, are not for it
    made.addEventListener("mousedown", (event) => event.stopPropagation());
    made.style.display = shown();
    cell.node.append(made);
    buttons.set(cell, made);
    commands.notifyCommandChanged(COMMAND);
  };
  running(packages, notebooks, add, remove);

  const isRunning = () =>
    on &&
    notebooks.currentWidget === shell.currentWidget &&
    Boolean(notebooks.currentWidget?.content.widgets.some((cell) => buttons.has(cell)));
  commands.addCommand(COMMAND, {
    label: "Stop Claude",
    caption: CAPTION,
    icon: stopIcon,
    isVisible: () => on,
    isEnabled: isRunning,
    execute: () => (isRunning() ? interrupt(notebooks.currentWidget) : undefined),
  });
  palette?.addItem({ command: COMMAND, category: "Claude" });
  return (wanted) => {
    on = wanted;
    for (const made of buttons.values()) made.style.display = shown();
    commands.notifyCommandChanged(COMMAND);
  };
}

/** @param {import("page").NotebookPanel | null} panel */
async function interrupt(panel) {
  try {
    await panel?.sessionContext.session?.kernel?.interrupt();
  } catch (error) {
    console.warn("claude-magic: the kernel was not interrupted:", error); // it died, or the server is away
  }
}
