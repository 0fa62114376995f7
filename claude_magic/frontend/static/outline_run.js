// Run the stale ones: the cells whose questions were asked before a change above them, again and in order. What that
// costs, about, is said first; nothing runs that was not agreed to.

import { dollars, parse } from "./cost.js";
import { element } from "./elements.js";
import { firstLine } from "./outline_content.js";

const MAX_LISTED = 8;

/**
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {ReturnType<typeof import("./kernel_state.js").follow>} kernels
 * @param {() => void} redraw for another line
 */
export function staleRuns(packages, notebooks, kernels, redraw) {
  const { Dialog, showDialog } = packages["@jupyterlab/apputils"];
  const { NotebookActions } = packages["@jupyterlab/notebook"];
  const { Widget } = packages["@lumino/widgets"];
  /** What is said of each notebook. @type {WeakMap<object, string>} */
  const lines = new WeakMap();

  /** @param {import("page").NotebookPanel} panel @param {string} line */
  const say = (panel, line) => {
    lines.set(panel, line);
    redraw();
  };

  return {
    /** @param {import("page").NotebookPanel} panel */
    said: (panel) => lines.get(panel) ?? "",

    /**
     * @param {import("page").NotebookPanel} panel
     * @param {import("./record.js").Turn[]} turns
     */
    async run(panel, turns) {
      if (lines.get(panel)) return; // it is being asked already
      const wanted = new Set(turns.map((turn) => turn.cell));
      const cells = () => panel.content.widgets.filter((cell) => wanted.has(cell.model));
      say(panel, "What will it cost? The kernel says it when it is idle.");
      try {
        const cost = await kernels.estimate(
          panel,
          cells().map((cell) => cell.model.id),
        );
        say(panel, "");
        if (cost === null || notebooks.currentWidget !== panel || !cells().length) return;
        const body = new Widget({ node: question(cells(), dollars(parse(cost))) });
        const buttons = [Dialog.cancelButton(), Dialog.okButton({ label: "Run" })];
        const { button } = await showDialog({ title: "Ask again what is stale?", body, buttons });
        if (button.accept) await NotebookActions.runCells(panel.content, cells(), panel.sessionContext);
      } catch (error) {
        say(panel, "");
        console.error("claude-magic:", error);
      }
    },
  };
}

/**
 * What will run, as it stands in the cells now, and what that costs.
 * @param {import("page").Cell[]} cells
 * @param {string} cost
 */
function question(cells, cost) {
  const listed = cells.slice(0, MAX_LISTED);
  const items = listed.map((cell) => element("li", "", firstLine(cell.model.sharedModel.getSource())));
  const more = cells.length - MAX_LISTED;
  const one = cells.length === 1;
  const estimate = cost === "n/a" ? "What that costs is not known" : `That costs about ${cost}`;
  return element(
    "div",
    "",
    one ? "A cell was asked before a change above it, and runs again:" : `${cells.length} cells run, from the top:`,
    element("ul", "", ...items),
    more > 0 ? `and ${more} more. ` : "",
    `${estimate}, by what ${one ? "it" : "they"} cost the last time.`,
  );
}
