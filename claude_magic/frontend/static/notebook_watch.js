// What a view of the current notebook's turns is drawn again for: another notebook, its cells, their outputs, what its
// kernel says; nothing that is typed. However much comes, it is drawn once, in the next frame; while nobody watches,
// nothing listens.

/**
 * Returns what starts and stops it, and asks for a drawing from outside.
 * @param {import("page").INotebookTracker} notebooks
 * @param {ReturnType<typeof import("./kernel_state.js").follow>} kernels
 * @param {() => void} draw
 * @param {() => void} [mark] for another active cell
 */
export function watch(notebooks, kernels, draw, mark) {
  let frame = 0;
  let watching = false;
  /** @type {import("page").CellList | undefined} */
  let cells;
  /** @type {Set<import("page").OutputList>} */
  let outputs = new Set();

  const later = () => {
    if (watching) frame ||= requestAnimationFrame(now);
  };
  const now = () => {
    frame = 0;
    follow(notebooks.currentWidget?.model?.cells);
    try {
      draw();
    } catch (error) {
      console.error("claude-magic:", error);
    }
  };
  /** @param {import("page").CellList | undefined} wanted */
  const follow = (wanted) => {
    if (wanted !== cells) {
      cells?.changed.disconnect(later);
      wanted?.changed.connect(later);
      cells = wanted;
    }
    const held = new Set();
    for (const cell of wanted ?? []) if (cell.outputs) held.add(cell.outputs);
    for (const each of outputs) if (!held.has(each)) each.changed.disconnect(later);
    for (const each of held) if (!outputs.has(each)) each.changed.connect(later);
    outputs = held;
  };

  kernels.subscribe(later);
  return {
    later,
    start() {
      if (watching) return;
      watching = true;
      notebooks.currentChanged.connect(later);
      if (mark) notebooks.activeCellChanged.connect(mark);
      now(); // what is shown is there at once, for the keyboard too
    },
    stop() {
      if (!watching) return;
      watching = false;
      cancelAnimationFrame(frame);
      frame = 0;
      notebooks.currentChanged.disconnect(later);
      if (mark) notebooks.activeCellChanged.disconnect(mark);
      follow(undefined);
    },
  };
}
