// Stop that always stops: a button in the toolbar of a prompt's cell while it runs. It interrupts by a request to the
// server, which hears it however busy the kernel is.

import { isPrompt } from "./expressions.js";

const COMMAND = "claude-magic:stop";

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @returns {(on: boolean) => void}
 */
export function stop(packages, { commands }, notebooks) {
  let on = false;
  /** @type {import("page").CellModel | undefined} */
  let followed;

  const shown = () => on && runs(notebooks.activeCell?.model);
  const again = () => commands.notifyCommandChanged(COMMAND);
  const follow = () => {
    followed?.stateChanged.disconnect(again);
    followed = notebooks.activeCell?.model;
    followed?.stateChanged.connect(again);
    again();
  };

  commands.addCommand(COMMAND, {
    label: "Stop",
    caption: "Stop Claude: interrupt the kernel",
    icon: packages["@jupyterlab/ui-components"].stopIcon,
    isVisible: shown,
    isEnabled: shown,
    execute: () => notebooks.currentWidget?.sessionContext.session?.kernel?.interrupt(),
  });
  notebooks.activeCellChanged.connect(follow);
  follow();
  return (wanted) => {
    on = wanted;
    again();
  };
}

/** Whether a cell is a prompt that runs, or waits for its turn. @param {import("page").CellModel | undefined} cell */
function runs(cell) {
  return cell?.executionState === "running" && isPrompt(cell.sharedModel.getSource().split("\n", 1)[0] ?? "");
}
