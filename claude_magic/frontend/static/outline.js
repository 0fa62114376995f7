// The outline: a side panel with the turns of the current notebook by chat, what each cost, and its marks. It listens
// while it is seen, and only then.

import { goTo } from "./cells.js";
import { watch } from "./notebook_watch.js";
import { outline as outlined } from "./outline_content.js";
import { staleRuns } from "./outline_run.js";
import { outlineView } from "./outline_view.js";
import { turns } from "./record.js";

const COMMAND = "claude-magic:outline";
const ID = "claude-magic-outline";
const NAME = "Claude’s Turns";
/** Below JupyterLab's own panels of the right area, which are at 100 to 600. */
const RANK = 700;

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @param {ReturnType<typeof import("./kernel_state.js").follow>} kernels
 * @param {{palette: import("page").ICommandPalette | null, restorer: import("page").ILayoutRestorer | null}} page
 * @returns {(on: boolean) => void}
 */
export function outline(packages, app, notebooks, kernels, { palette, restorer }) {
  const { Widget } = packages["@lumino/widgets"];
  const { historyIcon: icon } = packages["@jupyterlab/ui-components"];
  let on = false;
  /** What is shown. @type {import("./outline_content.js").Outline} */
  let shown = outlined([], null);

  const draw = () => {
    const panel = notebooks.currentWidget;
    shown = outlined(turns(panel?.model?.cells ?? []), panel && kernels.of(panel));
    const empty = panel ? "No turns in this notebook: a %%claude cell makes one." : "There is no notebook here.";
    view.show(shown, panel && shown.chats.length ? runs.said(panel) : empty);
    mark();
  };
  const mark = () => view.mark(notebooks.activeCell?.model);
  const runs = staleRuns(packages, notebooks, kernels, () => watched.later());
  const view = outlineView({
    go: (turn) => void show(packages, app, notebooks, turn.cell),
    runStale: () => notebooks.currentWidget && void runs.run(notebooks.currentWidget, shown.stale),
  });
  const watched = watch(notebooks, kernels, draw, mark);

  class Panel extends Widget {
    /** @override */
    onAfterShow() {
      watched.start();
    }
    /** @override */
    onAfterAttach() {
      if (this.isVisible) watched.start();
    }
    /** @override */
    onBeforeHide() {
      watched.stop();
    }
    /** @override */
    onBeforeDetach() {
      watched.stop();
    }
    /** @override */
    onActivateRequest() {
      view.focus();
    }
  }
  const panel = new Panel({ node: view.node });
  panel.id = ID;
  Object.assign(panel.title, { caption: NAME, icon });
  const add = () => app.shell.add(panel, "right", { rank: RANK, type: NAME });
  add(); // before the page restores its layout, in which the panel may have been open
  restorer?.add(panel, ID);

  app.commands.addCommand(COMMAND, {
    label: `Show ${NAME}`,
    caption: "Show the turns of the notebook with what they cost",
    icon,
    isVisible: () => on,
    isEnabled: () => on,
    execute: () => {
      app.shell.activateById(ID);
      panel.activate(); // Notebook shows it only
    },
  });
  palette?.addItem({ command: COMMAND, category: "Claude" });
  const apply = () => {
    if (on && !panel.parent) add();
    if (!on) panel.parent = null;
  };
  return (wanted) => {
    on = wanted;
    apply();
    void app.restored.then(apply); // a layout that had the panel brings it back
    app.commands.notifyCommandChanged(COMMAND);
  };
}

/**
 * Show a cell from its top, and make it the active one.
 * @param {import("page").Packages} packages
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").CellModel} cell
 */
async function show(packages, app, notebooks, cell) {
  const panel = notebooks.currentWidget;
  const index = panel?.content.widgets.findIndex((each) => each.model === cell) ?? -1;
  const widget = panel?.content.widgets[index];
  if (!panel || !widget) return;
  packages["@jupyterlab/notebook"].NotebookActions.expandParent(widget, panel.content);
  app.shell.activateById(panel.id);
  await goTo(panel.content, index, "command", "start");
}
