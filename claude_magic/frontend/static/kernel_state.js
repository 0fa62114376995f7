// What the kernels say of the notebooks on this page: what was spent, what is left, which turns stand. A kernel opens a
// comm to us (`claude_magic/session/page.py`); after a reload the page looks for the one that is open.

/**
 * @typedef {import("page").NotebookPanel} Panel
 * @typedef {import("page").Kernel} Kernel
 * @typedef {{stands: boolean, stale: boolean, cost: string, marks: string[]}} TurnState
 * @typedef {{notebook: string, kernel: string, budget: {left: string, total: string, used_up: boolean} | null,
 *   turns: Map<string, TurnState>, asking: boolean, offline: boolean}} State
 * @typedef {{comm: import("page").Comm, states: Map<string, State>,
 *   asked: Map<number, (cost: string | null) => void>}} Known
 */

const TARGET = "claude-magic";
const VERSION = 1;
const MAX_CELLS = 10_000;
const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);
/** @param {any} value @returns {value is Record<string, any>} */
const isPlain = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/**
 * Follow the kernels of all notebooks. `of` has a notebook's state, null where its kernel has said nothing; `subscribe`
 * calls back after each change; `estimate` asks what the questions of cells would cost, and is null without an answer.
 * @param {import("page").INotebookTracker} notebooks
 */
export function follow(notebooks) {
  /** By the kernel's id: notebooks share a kernel, and only one of its connections hears comms. */
  const kernels = /** @type {Map<string, Known>} */ (new Map());
  const callbacks = /** @type {Set<() => void>} */ (new Set());
  let asks = 0;

  const changed = () => callbacks.forEach((each) => each());
  /** @param {Panel | null} panel */
  const kernelOf = (panel) => panel?.sessionContext.session?.kernel ?? null;
  /** @param {string} id @param {import("page").Comm} [comm] */
  const forget = (id, comm) => {
    const known = kernels.get(id);
    if (!known || (comm && known.comm !== comm)) return;
    kernels.delete(id);
    for (const answer of known.asked.values()) answer(null);
    changed();
  };
  /** @param {Kernel} kernel @param {import("page").Comm} comm */
  const listen = (kernel, comm) => {
    forget(kernel.id);
    const known = { comm, states: new Map(), asked: new Map() };
    kernels.set(kernel.id, known);
    comm.onMsg = ({ content }) => void (take(known, content.data), changed());
    comm.onClose = () => forget(kernel.id, comm);
    kernel.disposed.connect(() => forget(kernel.id, comm));
  };
  /** Look for an open comm, and ask for this notebook's state. @param {Panel} panel */
  const find = async (panel) => {
    await panel.context.ready;
    const kernel = kernelOf(panel);
    if (!kernel || (await kernel.info).language_info.name !== "python") return;
    if (!kernels.has(kernel.id) && kernel.handleComms) {
      const { content } = await kernel.requestCommInfo({ target_name: TARGET });
      const [id] = Object.keys(content.comms ?? {});
      if (id && !kernels.has(kernel.id) && !kernel.hasComm(id)) listen(kernel, kernel.createComm(TARGET, id));
    }
    const cells = [...(panel.model?.cells ?? [])].map((cell) => cell.id).slice(0, MAX_CELLS);
    kernels.get(kernel.id)?.comm.send({ ask: "state", page: kernel.clientId, cells });
  };
  /** @param {Panel} panel */
  const meet = (panel) => {
    const kernel = kernelOf(panel);
    kernel?.registerCommTarget(TARGET, (comm) => listen(kernel, comm));
    find(panel).catch(() => undefined); // the kernel went away meanwhile
    changed();
  };
  notebooks.forEach(watch);
  notebooks.widgetAdded.connect((_, panel) => watch(panel));

  /** @param {Panel} panel */
  function watch(panel) {
    const { sessionContext } = panel;
    sessionContext.kernelChanged.connect(() => meet(panel));
    sessionContext.connectionStatusChanged.connect((_, status) => void (status === "connected" && meet(panel)));
    sessionContext.statusChanged.connect((_, status) => {
      const kernel = kernelOf(panel);
      if (kernel && GONE.has(status)) forget(kernel.id);
    });
    meet(panel);
  }

  return {
    /** @param {Panel | null} panel @returns {State | null} */
    of(panel) {
      const kernel = kernelOf(panel);
      return (kernel && kernels.get(kernel.id)?.states.get(kernel.clientId)) ?? null;
    },
    subscribe: (/** @type {() => void} */ callback) => void callbacks.add(callback),
    /** @param {Panel} panel @param {string[]} cells @returns {Promise<string | null>} */
    estimate(panel, cells) {
      const kernel = kernelOf(panel);
      const known = kernel && kernels.get(kernel.id);
      if (!known) return Promise.resolve(null);
      const id = ++asks;
      known.comm.send({ ask: "estimate", page: kernel.clientId, id, cells: cells.slice(0, MAX_CELLS) });
      return new Promise((answer) => known.asked.set(id, answer));
    },
  };
}

/** Take a message of the kernel. @param {Known} known @param {unknown} data */
function take(known, data) {
  if (!isPlain(data) || data.version !== VERSION) return;
  if (isPlain(data.estimate)) {
    const { id, cost } = data.estimate;
    known.asked.get(id)?.(typeof cost === "string" ? cost : null);
    known.asked.delete(id);
    return;
  }
  for (const page of Array.isArray(data.pages) ? data.pages : []) {
    const turns = isPlain(data.turns) ? new Map(Object.entries(data.turns)) : known.states.get(page)?.turns;
    const { notebook, kernel, asking, offline } = data;
    const budget = isPlain(data.budget) ? /** @type {State["budget"]} */ (data.budget) : null;
    if (turns) known.states.set(page, { notebook, kernel, budget, turns, asking, offline });
  }
}
