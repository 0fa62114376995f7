// The outline on the page: headings, and lists of buttons that the arrow keys go through. All that it says is set as
// text.

import { button, element } from "./elements.js";

/**
 * @typedef {import("./outline_content.js").Outline} Outline
 * @typedef {import("./record.js").Turn} Turn
 */

/**
 * @param {{go: (turn: Turn) => void, runStale: () => void}} actions
 */
export function outlineView({ go, runStale }) {
  const total = element("strong", "");
  const top = element("div", "claude-outline-total", "This notebook ", total);
  const note = element("div", "claude-outline-note");
  const stale = button("", "Run the stale ones: first say what that costs", runStale);
  const said = element("div", "claude-outline-said");
  const chats = element("div", "claude-outline-chats");
  const node = element("div", "claude-outline", top, note, stale, said, chats);
  node.tabIndex = -1;
  node.setAttribute("role", "region");
  node.setAttribute("aria-label", "Claude’s turns");
  said.setAttribute("role", "status");
  stale.classList.add("claude-outline-stale");

  /** The rows from the top. @type {{button: HTMLElement, turn: Turn}[]} */
  let rows = [];
  let drawn = "";

  /** Make a row the one that Tab goes to. @param {HTMLElement | undefined} button */
  const reach = (button) => {
    for (const row of rows) row.button.tabIndex = row.button === button ? 0 : -1;
  };
  const at = () => rows.findIndex(({ button }) => button === document.activeElement);

  chats.addEventListener("click", ({ target }) => {
    const row = rows.find(({ button }) => button.contains(/** @type {Node} */ (target)));
    if (row) go(row.turn);
  });
  chats.addEventListener("focusin", () => reach(rows[at()]?.button ?? rows[0]?.button));
  chats.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: at() + 1, ArrowUp: at() - 1, Home: 0, End: rows.length - 1 };
    const to = rows[steps[/** @type {keyof typeof steps} */ (event.key)] ?? -1];
    if (!to || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    to.button.focus();
  });

  /** @param {Outline} outline */
  const list = (outline) => {
    const focused = at();
    const scrolled = node.scrollTop;
    rows = [];
    chats.replaceChildren(
      ...outline.chats.map((chat) => {
        const heading = element("h3", "", element("span", "", chat.name), element("span", "", chat.total));
        const items = chat.rows.map((row) => {
          const button = rowButton(row);
          rows.push({ button, turn: row.turn });
          return element("li", "", button);
        });
        const held = element("ul", "", ...items);
        held.setAttribute("aria-label", `Chat ${chat.name}`);
        return element("section", "", heading, held);
      }),
      outline.more ? element("div", "claude-outline-note", `and ${outline.more.toLocaleString("en")} more turns`) : "",
    );
    reach(rows[0]?.button);
    node.scrollTop = scrolled;
    if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.button.focus({ preventScroll: true });
  };

  return {
    node,
    /** @param {Outline} outline @param {string} line what is said beside it */
    show(outline, line) {
      const turns = outline.chats.flatMap((chat) => chat.rows.map((row) => row.turn));
      top.hidden = !turns.length;
      say(total, outline.total);
      say(note, outline.note);
      const count = outline.stale.length;
      say(stale, count === 1 ? "Run the stale one…" : `Run the ${count} stale ones…`);
      stale.hidden = !count;
      say(said, line);
      const wanted = JSON.stringify(outline.chats, (key, value) => (key === "turn" ? undefined : value)) + outline.more;
      if (wanted !== drawn) list(outline);
      drawn = wanted;
      rows = rows.map(({ button }, place) => ({ button, turn: /** @type {Turn} */ (turns[place]) }));
    },
    /** Mark the rows of the active cell. @param {unknown} cell its model */
    mark(cell) {
      const here = rows.filter(({ turn }) => turn.cell === cell);
      for (const { button } of rows) button.removeAttribute("aria-current");
      for (const { button } of here) button.setAttribute("aria-current", "true");
      if (at() < 0) reach((here[0] ?? rows[0])?.button);
    },
    focus() {
      (rows.find(({ button }) => button.tabIndex === 0)?.button ?? node).focus();
    },
  };
}

/** Set a text that is another: a status is read aloud as often as it is set. @param {Node} node @param {string} text */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {import("./outline_content.js").Row} row */
function rowButton({ prompt, cost, marks }) {
  const marked = marks.length ? element("span", "claude-outline-marks", marks.join(" · ")) : "";
  const asked = element("span", "claude-outline-prompt", prompt);
  const button = element("button", "", asked, element("span", "claude-outline-cost", cost), marked);
  asked.dir = "auto";
  button.title = prompt;
  button.setAttribute("aria-label", [prompt, cost, ...marks].join(", "));
  return button;
}
