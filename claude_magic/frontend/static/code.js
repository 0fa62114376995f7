// Buttons on the code of an answer: Copy, Insert below, Replace where the answer corrects a cell, and Draw for Mermaid.
// They stand beside an output in the page, not in the record nor in what is shown of it, and follow it as it grows.

import { codeBars } from "./code_bars.js";
import { FIX_TYPE, readCorrection } from "./correction.js";
import { listed, placeOf } from "./outputs.js";

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").IMermaidManager | null} mermaid
 * @returns {(on: boolean) => void}
 */
export function code(packages, notebooks, mermaid) {
  /** The buttons of each output that has code. @type {WeakMap<Element, ReturnType<typeof codeBars>>} */
  const dressed = new WeakMap();
  let on = false;

  /** Give buttons to the code in an output area. @param {Element} area */
  const dress = (area) => {
    const outputs = [...area.children].filter((each) => dressed.has(each) || each.querySelector(".claude-magic pre"));
    const correction = outputs.length ? correctionIn(area) : undefined;
    for (const output of outputs) {
      const bars = dressed.get(output) ?? codeBars(packages, notebooks, mermaid, /** @type {HTMLElement} */ (output));
      dressed.set(output, bars);
      bars.refresh(correction);
    }
  };

  /** The correction that a cell's outputs hold. @param {Element} area */
  const correctionIn = (area) => {
    const place = placeOf(notebooks, area);
    const outputs = place ? listed(place.notebook.widgets[place.at].model) : [];
    return outputs.map((output) => readCorrection(output.data?.[FIX_TYPE])).find(Boolean);
  };

  const observer = new MutationObserver((changes) => {
    /** @type {Set<Element>} */
    const areas = new Set();
    for (const { target, addedNodes } of changes) {
      const element = /** @type {Element} */ (target);
      if (element.closest(".cm-content")) continue; // a key was typed
      const area = element.closest(".jp-OutputArea");
      if (area) areas.add(area);
      for (const node of addedNodes) {
        if (node instanceof Element) node.querySelectorAll(".jp-OutputArea").forEach((each) => areas.add(each));
      }
    }
    areas.forEach(dress);
    observer.takeRecords(); // what that put there
  });
  /** @param {import("page").NotebookPanel} panel */
  const watch = ({ content: { node } }) => {
    observer.observe(node, { childList: true, subtree: true });
    node.querySelectorAll(".jp-OutputArea").forEach(dress);
  };
  /** @param {import("page").NotebookPanel} panel */
  const undress = ({ content: { widgets } }) => {
    for (const output of widgets.flatMap(({ node }) => [...node.querySelectorAll(".jp-OutputArea > *")])) {
      dressed.get(output)?.remove();
      dressed.delete(output);
    }
  };

  notebooks.widgetAdded.connect((_, panel) => {
    if (on) watch(panel);
  });
  return (wanted) => {
    if (wanted === on) return;
    on = wanted;
    observer.disconnect();
    notebooks.forEach(on ? watch : undress);
  };
}
