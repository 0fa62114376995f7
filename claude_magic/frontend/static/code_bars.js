// The buttons of all code blocks in one output. They stand beside what the output shows, over the code that the pointer
// is on; so they stay when the output is drawn again, with the keyboard on them or a click half done.

import { codeBar } from "./code_bar.js";

// A page of a million code blocks is no answer.
const MAX_BARS = 500;

/**
 * Follow the code blocks of an output.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").IMermaidManager | null} mermaid
 * @param {HTMLElement} output
 */
export function codeBars(packages, notebooks, mermaid, output) {
  /** @type {ReturnType<typeof codeBar>[]} */
  const bars = [];
  const end = new AbortController();
  /** @type {ReturnType<typeof codeBar> | undefined} */
  let shown;

  /** @param {Element | null} under */
  const show = (under) => {
    const block = under?.closest("pre");
    const found = bars.find((bar) => bar.node.contains(under) || (block && bar.block() === block));
    if (found === shown) return;
    shown?.node.classList.remove("claude-shown");
    found?.node.classList.add("claude-shown");
    found?.place();
    shown = found;
  };
  const { signal } = end;
  output.addEventListener("pointerover", ({ target }) => show(target instanceof Element ? target : null), { signal });
  output.addEventListener("pointerleave", () => show(null), { signal });
  output.classList.add("claude-code");

  return {
    /**
     * Have one bar for each block as it is now.
     * @param {import("./correction.js").Correction | undefined} correction
     */
    refresh(correction) {
      const blocks = blocksOf(output);
      blocks.forEach((block, at) => {
        if (at === bars.length) {
          bars.push(codeBar(packages, notebooks, mermaid, output));
          output.append(bars[at].node);
        }
        bars[at].use(block, at + 1, correction);
      });
      for (const bar of bars.splice(blocks.length)) bar.node.remove();
    },
    /** Take the buttons away. */
    remove() {
      end.abort();
      output.classList.remove("claude-code");
      for (const bar of bars) bar.remove();
    },
  };
}

/** The code blocks in an output, as the kernel writes them. @param {Element} output */
function blocksOf(output) {
  /** @type {NodeListOf<HTMLElement>} */
  const found = output.querySelectorAll(".claude-magic pre");
  return [...found].slice(0, MAX_BARS).filter((pre) => {
    const isCode = pre.childElementCount === 1 && pre.firstElementChild?.tagName === "CODE";
    return isCode && pre.closest(".jp-OutputArea > *") === output;
  });
}
