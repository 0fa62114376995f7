// Buttons on the code of an answer: Copy, Insert below, Replace where the answer corrects a cell, and Draw for Mermaid.
// They stand beside the code in the page, not in the record, and come again whenever an answer is drawn again.

import { FIX_TYPE, readCorrection } from "./correction.js";
import { codeBar } from "./code_bar.js";
import { addStyle, listed, placeOf } from "./outputs.js";

// Of an output area: a page of a million code blocks is no answer.
const MAX_BARS = 500;

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").IMermaidManager | null} mermaid
 * @returns {(on: boolean) => void}
 */
export function code(packages, notebooks, mermaid) {
  /** The buttons of each code block that has them. @type {WeakMap<Element, ReturnType<typeof codeBar>>} */
  const bars = new WeakMap();
  /** The button that was given the keyboard last, by its place. @type {{area: Element, at: number} | undefined} */
  let held;
  let on = false;

  /** Give buttons to the code in an output area. @param {Element} area */
  const dress = (area) => {
    /** @type {HTMLElement[]} */
    const blocks = [...area.querySelectorAll(".claude-magic pre")].slice(0, MAX_BARS).filter(isCode);
    const correction = blocks.length ? correctionIn(area) : undefined;
    for (const block of blocks) {
      const bar = bars.get(block) ?? codeBar(packages, notebooks, mermaid, block);
      bars.set(block, bar);
      bar.offer(correction);
    }
    // Drawn again under the reader's fingers: the same button goes on.
    if (held?.area === area && document.activeElement === document.body) {
      buttonsIn(area)[held.at]?.focus({ preventScroll: true });
    }
  };
  /** @param {FocusEvent} event */
  const hold = ({ target }) => {
    const area = target instanceof Element && target.closest(".claude-code-bar")?.closest(".jp-OutputArea");
    held = area ? { area, at: buttonsIn(area).indexOf(/** @type {HTMLElement} */ (target)) } : undefined;
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
    for (const node of changes.flatMap((change) => [...change.addedNodes])) {
      if (!(node instanceof Element)) continue;
      const area = node.closest(".jp-OutputArea");
      for (const each of area ? [area] : node.querySelectorAll(".jp-OutputArea")) areas.add(each);
    }
    areas.forEach(dress);
  });
  /** @param {import("page").NotebookPanel} panel */
  const watch = ({ content: { node } }) => {
    observer.observe(node, { childList: true, subtree: true });
    node.addEventListener("focusin", hold);
    node.querySelectorAll(".jp-OutputArea").forEach(dress);
  };
  /** @param {import("page").NotebookPanel} panel */
  const undress = ({ content: { node: whole, widgets } }) => {
    whole.removeEventListener("focusin", hold);
    for (const block of widgets.flatMap(({ node }) => [...node.querySelectorAll(".claude-code > pre")])) {
      bars.get(block)?.remove();
      bars.delete(block);
    }
  };

  notebooks.widgetAdded.connect((_, panel) => {
    if (on) watch(panel);
  });
  return (wanted) => {
    if (wanted === on) return;
    on = wanted;
    observer.disconnect();
    if (on) {
      addStyle();
      notebooks.forEach(watch);
    } else {
      notebooks.forEach(undress);
    }
  };
}

/** The buttons in an output area, in order. @param {Element} area */
const buttonsIn = (area) => {
  /** @type {NodeListOf<HTMLElement>} */
  const found = area.querySelectorAll(".claude-code-bar > button");
  return [...found];
};

/** Whether an element is a code block as the kernel writes them. @param {Element} pre @returns {pre is HTMLElement} */
const isCode = (pre) => pre.childElementCount === 1 && pre.firstElementChild?.tagName === "CODE";
