// Fix with Claude: a button in the toolbar of a cell that failed. It puts a cell with `%claude_fix` below and runs it;
// the corrected code comes as a difference to accept (`fix_output.js`).

import { goTo, insertBelow } from "./cells.js";
import { FIX_TYPE } from "./correction.js";
import { fixOutput } from "./fix_output.js";
import { hasFailed } from "./outputs.js";

const COMMAND = "claude-magic:fix";
const OWN = /^\s*%%?claude/;
// What may stand on a magic's line: the id is the file's, and the line runs.
const ID = /^[\w-]{1,64}$/;

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").IRenderMimeRegistry} rendermime
 * @returns {(on: boolean) => void}
 */
export function fix(packages, { commands }, notebooks, rendermime) {
  const output = fixOutput(packages, notebooks);
  let on = false;
  /** @type {import("page").CellModel | undefined} */
  let followed;

  const shown = () => {
    const cell = notebooks.activeCell?.model;
    const runs = notebooks.currentWidget?.content.model?.defaultKernelLanguage === "python";
    return on && runs && hasFailed(cell) && ID.test(cell?.id ?? "") && !OWN.test(cell?.sharedModel.getSource() ?? "");
  };
  const again = () => commands.notifyCommandChanged(COMMAND);
  const follow = () => {
    followed?.outputs?.changed.disconnect(again);
    followed = notebooks.activeCell?.model;
    followed?.outputs?.changed.connect(again);
    again();
  };

  commands.addCommand(COMMAND, {
    label: "Fix with Claude",
    caption: "Fix with Claude: have this cell corrected, and see the difference",
    isVisible: shown,
    isEnabled: shown,
    execute: async () => {
      const notebook = notebooks.currentWidget?.content;
      if (!notebook || !shown() || !ask(notebook)) return;
      const asking = notebook.activeCell;
      await commands.execute("notebook:run-cell");
      if (notebook.activeCell === asking) await showWhole(notebook);
    },
  });
  notebooks.activeCellChanged.connect(follow);
  follow();
  rendermime.addFactory({ safe: true, mimeTypes: [FIX_TYPE], defaultRank: 20, createRenderer: output.create });
  return (wanted) => {
    on = wanted;
    output.turn(on);
    again();
  };
}

/**
 * Scroll to the top of the active cell where its end is out of sight: the output has grown since it was shown.
 * @param {import("page").Notebook} notebook
 */
async function showWhole(notebook) {
  const end = notebook.activeCell?.node.getBoundingClientRect().bottom ?? 0;
  if (end <= notebook.node.getBoundingClientRect().bottom) return;
  await notebook.scrollToItem(notebook.activeCellIndex, "start").catch(() => undefined); // another scroll came between
}

/**
 * Go to the cell that asks for a correction of the active cell: the one below, if it does, or a new one there. Returns
 * whether it is to be run.
 * @param {import("page").Notebook} notebook
 */
function ask(notebook) {
  const at = notebook.activeCellIndex;
  const line = `%claude_fix --cell ${notebook.widgets[at].model.id} --diff`;
  const below = notebook.widgets[at + 1]?.model;
  if (below?.type !== "code" || !below.sharedModel.getSource().includes(line)) {
    const sources = notebook.widgets.map(({ model }) => model.sharedModel.getSource());
    const isLoaded = sources.some((text) => text.includes("claude_magic") || OWN.test(text));
    const source = isLoaded ? line : `%load_ext claude_magic\n${line}`;
    void insertBelow(notebook, at, "code", source, "command");
    return true;
  }
  void goTo(notebook, at + 1, "command");
  return below.executionState !== "running";
}
