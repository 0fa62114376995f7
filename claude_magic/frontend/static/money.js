// What it cost, always in view: a button in the status bar, or in the menu area of a page that has none. It shows what
// the kernel says of the current notebook; where that says nothing, the sum of the notebook's records.

import { insertBelow } from "./cells.js";
import { dollars, parse } from "./cost.js";
import { button } from "./elements.js";
import { watch } from "./notebook_watch.js";
import { sum, turns } from "./record.js";
import { STAND_IN } from "./record_entries.js";

/** @typedef {import("page").NotebookPanel} Panel */

const ID = "claude-magic-money";
const OUTLINE = "claude-magic:outline";
const MAGIC = "%claude_cost";
const LOAD = "%load_ext claude_magic";
const OFFLINE = "stand-in, not Claude";

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @param {ReturnType<typeof import("./kernel_state.js").follow>} kernels
 * @param {import("page").IStatusBar | null} statusBar
 * @returns {(on: boolean) => void}
 */
export function money(packages, app, notebooks, kernels, statusBar) {
  const { NotebookActions } = packages["@jupyterlab/notebook"];
  const amount = button("", "", () => void report().catch((error) => console.error("claude-magic:", error)));
  const item = new (packages["@lumino/widgets"].Widget)();
  item.id = ID;
  item.node.append(amount);
  let on = false;
  let active = false;

  const draw = () => {
    const panel = notebooks.currentWidget;
    const shown = on && panel ? figures(panel, kernels.of(panel)) : null;
    active = shown !== null;
    item.setHidden(!active);
    if (!shown) return;
    if (amount.textContent !== shown.text) amount.textContent = shown.text;
    amount.title = shown.title;
    amount.classList.toggle("claude-used-up", shown.usedUp);
    amount.disabled = !hasOutline() && !runsPython(panel);
  };
  const hasOutline = () => statusBar && app.commands.isEnabled(OUTLINE); // Notebook's click answers in the notebook
  /** @param {Panel | null} panel */
  const runsPython = (panel) => kernels.of(panel) || panel?.model?.defaultKernelLanguage === "python";
  const report = async () => {
    const panel = notebooks.currentWidget;
    if (!panel || hasOutline()) return void (await app.commands.execute(OUTLINE));
    const { content, sessionContext } = panel;
    const source = kernels.of(panel) ? MAGIC : `${LOAD}\n${MAGIC}`;
    void insertBelow(content, content.activeCellIndex, "code", source, "command");
    await NotebookActions.run(content, sessionContext);
  };

  const place = /** @type {const} */ ({ align: "right", rank: 100, priority: 1 }); // shown in a narrow window, too
  if (statusBar) statusBar.registerStatusItem(ID, { item, ...place, isActive: () => active });
  else app.shell.add(item, "menu", { rank: 1000 });
  const watched = watch(notebooks, kernels, draw);
  return (wanted) => {
    on = wanted;
    if (on) return watched.start();
    watched.stop();
    draw();
  };
}

/**
 * What the button says; null where there is nothing to say.
 * @param {Panel} panel
 * @param {import("./kernel_state.js").State | null} state
 */
function figures(panel, state) {
  if (!state) {
    const found = turns(panel.model?.cells ?? []);
    const free = found.every(({ marks }) => marks.includes(STAND_IN)) ? ` · ${OFFLINE}` : "";
    const text = `Claude: notebook ${dollars(sum(found))}${free}`;
    return found.length ? { text, title: "What the replies in this notebook cost", usedUp: false } : null;
  }
  const { budget, asking, offline } = state;
  const usedUp = budget?.used_up === true;
  const parts = [`notebook ${dollars(parse(state.notebook))}`, `kernel ${dollars(parse(state.kernel))}`];
  if (usedUp) parts.unshift(`budget of ${budget.total} used up`); // first, where a narrow window cuts the rest
  else if (budget) parts.push(`${budget.left} of ${budget.total} left`);
  if (offline) parts.push(OFFLINE);
  const text = `Claude${asking ? " answers" : ""}: ${parts.join(" · ")}`;
  return { text, title: `${text}. What this notebook cost, and what this kernel has spent.`, usedUp };
}
