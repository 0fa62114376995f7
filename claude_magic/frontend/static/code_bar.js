// The buttons of one code block, and what they do. They take the block's text, exactly, and set it as text.

import { SAID, put, standing } from "./correction.js";
import { canDraw, draw } from "./diagram.js";
import { button, element, goTo, insertBelow, placeOf } from "./outputs.js";

const PYTHON = ["", "python", "py", "python3", "ipython"];
// Languages that IPython runs in a cell with a magic.
/** @type {Record<string, string>} */
const MAGICS = { bash: "bash", sh: "bash", shell: "bash", zsh: "bash", html: "html", javascript: "javascript" };

/**
 * Put the buttons on a code block: in a box around it, which takes no room of its own.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").IMermaidManager | null} mermaid
 * @param {HTMLElement} block
 */
export function codeBar(packages, notebooks, mermaid, block) {
  const icons = packages["@jupyterlab/ui-components"];
  const box = element("div", "claude-code");
  const bar = element("div", "claude-code-bar");
  const status = element("span", "claude-said");
  const language = /^language-(\S+)$/.exec(block.firstElementChild?.className ?? "")?.[1] ?? "";
  /** @type {import("./correction.js").Correction | undefined} */
  let correction;
  /** @type {HTMLElement | undefined} */
  let diagram;

  const text = () => (block.firstElementChild?.textContent ?? "").replace(/\n$/, "");
  const say = (/** @type {string} */ said) => void (status.textContent = said);
  const copyText = () => void copy(text()).then((copied) => say(copied ? "Copied." : NOT_COPIED));
  const insert = () => {
    const place = placeOf(notebooks, block);
    if (!place) return say("This answer stands in no notebook.");
    if (PYTHON.includes(language)) return insertBelow(place.notebook, place.at, "code", text());
    const magic = MAGICS[language];
    insertBelow(place.notebook, place.at, magic ? "code" : "raw", magic ? `%%${magic}\n${text()}` : text());
  };
  const replace = () => {
    const notebook = placeOf(notebooks, block)?.notebook;
    if (!notebook || !correction) return;
    const { state, at, wanted } = standing(notebook, correction, text());
    if (state !== "open") return say(state === "done" ? "This code is in the cell." : SAID[state]);
    put(notebook, at, wanted);
    goTo(notebook, at, "edit");
  };
  const drawText = async () => {
    const shown = diagram;
    diagram = undefined;
    if (shown) return shown.remove();
    const drawn = mermaid && (await draw(mermaid, text()));
    if (typeof drawn === "string") return say(drawn);
    diagram = drawn ?? undefined;
    if (diagram) box.append(diagram);
  };

  const replacing = button("Replace", "Replace: put this code into the cell that failed", replace, icons.editIcon);
  bar.append(
    status,
    button("Copy", "Copy", copyText, icons.copyIcon),
    button("Insert below", "Insert below, as a new cell", insert, icons.addBelowIcon),
    replacing,
  );
  if (mermaid && canDraw(language)) {
    bar.append(button("Draw", "Draw the diagram, or take it away", () => void drawText(), icons.imageIcon));
  }
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", language && language !== "text" ? `Code, ${language}` : "Code");
  bar.addEventListener("focusout", () => say(""));
  status.setAttribute("role", "status");
  replacing.hidden = true;
  block.replaceWith(box);
  box.append(block, bar);

  return {
    /** Offer to replace the cell that failed, or no longer. @param {typeof correction} wanted */
    offer(wanted) {
      correction = PYTHON.includes(language) ? wanted : undefined;
      replacing.hidden = !correction;
    },
    /** Take the buttons away. */
    remove: () => box.replaceWith(block),
  };
}

const NOT_COPIED = "This page may not use the clipboard: select the code, and press Ctrl+C.";

/**
 * Put a text on the clipboard; where the page is not from HTTPS or this machine, by the browser's older way. Returns
 * whether it is there.
 * @param {string} text
 */
async function copy(text) {
  try {
    if (navigator.clipboard) return await navigator.clipboard.writeText(text).then(() => true);
  } catch {
    // Not allowed: the older way may be.
  }
  const set = (/** @type {ClipboardEvent} */ event) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  document.addEventListener("copy", set, { capture: true, once: true });
  const copied = document.execCommand("copy");
  document.removeEventListener("copy", set, { capture: true });
  return copied;
}
