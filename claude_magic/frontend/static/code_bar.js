// The buttons of one code block, and what they do. They take the block's text, exactly, and set it as text.

import { goTo, insertBelow, setSource } from "./cells.js";
import { copy } from "./clipboard.js";
import { SAID, standing } from "./correction.js";
import { canDraw, draw } from "./diagram.js";
import { button, element } from "./elements.js";
import { placeOf } from "./outputs.js";

const PYTHON = ["", "python", "py", "python3", "ipython"];
// Languages that IPython runs in a cell with a magic. Code in any other goes into a raw cell, which nothing runs.
/** @type {Record<string, string>} */
const MAGICS = { bash: "bash", sh: "bash", shell: "bash", zsh: "bash", html: "html", javascript: "javascript" };
const MAX_LABEL = 60;

/**
 * Make the buttons for a code block of an output.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").IMermaidManager | null} mermaid
 * @param {HTMLElement} output
 */
export function codeBar(packages, notebooks, mermaid, output) {
  const icons = packages["@jupyterlab/ui-components"];
  const bar = element("div", "claude-code-bar");
  const status = element("span", "claude-said");
  /** @type {HTMLElement} */
  let block = element("pre", "");
  let language = "";
  /** @type {import("./correction.js").Correction | undefined} */
  let correction;
  /** @type {HTMLElement | undefined} */
  let diagram;

  const text = () => (block.firstElementChild?.textContent ?? "").replace(/\n$/, "");
  const say = (/** @type {string} */ said) => void (status.textContent = said);
  const copyText = () => void copy(text()).then(say);
  const insert = () => {
    const place = placeOf(notebooks, output);
    if (!place) return say("This answer stands in no notebook.");
    const magic = MAGICS[language];
    const source = magic ? `%%${magic}\n${text()}` : text();
    const type = magic || PYTHON.includes(language) ? "code" : "raw";
    void insertBelow(place.notebook, place.at, type, source, "command");
  };
  const replace = () => {
    const notebook = placeOf(notebooks, output)?.notebook;
    if (!notebook || !correction) return;
    const { state, at, wanted } = standing(notebook, correction, text());
    if (state !== "open") return say(state === "done" ? "This code is in the cell." : SAID[state]);
    setSource(notebook, at, wanted);
    void goTo(notebook, at, "edit");
  };
  const drawText = async () => {
    const shown = diagram?.isConnected ? diagram : undefined;
    diagram = undefined;
    if (shown) return shown.remove();
    const drawn = mermaid && (await draw(mermaid, text()));
    if (typeof drawn === "string") return say(drawn);
    diagram = drawn ?? undefined;
    if (diagram) block.after(diagram);
  };
  const place = () => {
    const [outer, inner] = [output.getBoundingClientRect(), block.getBoundingClientRect()];
    bar.style.top = `${inner.top - outer.top}px`;
    bar.style.right = `${Math.max(0, outer.right - inner.right)}px`;
  };

  const replacing = button("Replace", "Replace: put this code into the cell that failed", replace, icons.editIcon);
  const drawing = button("Draw", "Draw the diagram, or take it away", () => void drawText(), icons.imageIcon);
  bar.append(
    status,
    button("Copy", "Copy", copyText, icons.copyIcon),
    button("Insert below", "Insert below, as a new cell", insert, icons.addBelowIcon),
    replacing,
    drawing,
  );
  bar.setAttribute("role", "group");
  bar.dataset.lmSuppressShortcuts = "true"; // the notebook's own keys, such as Enter, are not for its buttons
  bar.addEventListener("focusin", place);
  bar.addEventListener("focusout", () => say(""));
  status.setAttribute("role", "status");

  return {
    node: bar,
    place,
    block: () => block,
    /**
     * Be the buttons of this block, the output's so-and-so-many-th; offer to replace the cell that failed, or not.
     * @param {HTMLElement} wanted
     * @param {number} number
     * @param {typeof correction} offered
     */
    use(wanted, number, offered) {
      block = wanted;
      language = /^language-(\S+)$/.exec(block.firstElementChild?.className ?? "")?.[1] ?? "";
      correction = PYTHON.includes(language) ? offered : undefined;
      replacing.hidden = !correction;
      drawing.hidden = !mermaid || !canDraw(language);
      const [line] = text().slice(0, MAX_LABEL).split("\n", 1);
      bar.setAttribute("aria-label", `Code ${number}${language && `, ${language}`}: ${line}`);
    },
    /** Take away the buttons, and what they have drawn. */
    remove() {
      bar.remove();
      diagram?.remove();
    },
  };
}
