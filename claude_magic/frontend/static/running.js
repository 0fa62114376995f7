// Which cells run, or wait for their turn: as this page ran them, and after a reload as the page before had noted them.

/** What this tab notes for the page after a reload: the cells that run, as [kernel, cell]. */
const KEY = "claude-magic:running";

/** @returns {[kernel: string, cell: string][]} */
function noted() {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => Array.isArray(each) && each.length === 2) : [];
  } catch {
    return []; // the browser keeps nothing, or it is not ours
  }
}

/** @param {[kernel: string, cell: string][]} cells */
function note(cells) {
  try {
    if (cells.length) sessionStorage.setItem(KEY, JSON.stringify(cells));
    else sessionStorage.removeItem(KEY);
  } catch {
    // After a reload there will be no button.
  }
}

/**
 * Calls `begin` and `end` for each cell of each notebook, as it is run and as it is done.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {(panel: import("page").NotebookPanel, cell: import("page").Cell) => void} begin
 * @param {(cell: import("page").Cell) => void} end
 */
export function running(packages, notebooks, begin, end) {
  const { NotebookActions } = packages["@jupyterlab/notebook"];
  /** @param {import("page").NotebookPanel} panel */
  const kernelOf = (panel) => panel.sessionContext.session?.kernel;

  NotebookActions.executionScheduled.connect((_, { notebook, cell }) => {
    const panel = notebooks.find(({ content }) => content === notebook);
    const kernel = panel && kernelOf(panel);
    if (!kernel || cell.model.type !== "code") return;
    note([...noted(), [kernel.id, cell.model.id]]);
    begin(panel, cell);
  });
  NotebookActions.executed.connect((_, { cell }) => {
    if (cell.isDisposed) return end(cell);
    note(noted().filter(([, id]) => id !== cell.model.id));
    end(cell);
  });

  /**
   * What ran when the page was reloaded runs on until the kernel is idle.
   * @param {import("page").NotebookPanel} panel
   */
  const resume = async (panel) => {
    await Promise.all([panel.context.ready, panel.revealed, panel.sessionContext.ready]);
    const kernel = kernelOf(panel);
    const of = new Set(noted().flatMap(([id, cell]) => (id === kernel?.id ? [cell] : [])));
    const cells = panel.content.widgets.filter(({ model }) => of.has(model.id));
    if (!kernel || !cells.length) return;
    const done = () => {
      if (kernel.status === "busy" || kernel.status === "unknown") return;
      kernel.statusChanged.disconnect(done);
      note(noted().filter(([id, cell]) => id !== kernel.id || !of.has(cell)));
      cells.forEach(end);
    };
    for (const cell of cells) begin(panel, cell);
    kernel.statusChanged.connect(done);
    done();
  };
  const failed = (/** @type {unknown} */ error) => console.warn("claude-magic:", error);
  notebooks.widgetAdded.connect((_, panel) => void resume(panel).catch(failed));
  notebooks.forEach((panel) => void resume(panel).catch(failed));
}
