// The output of `%claude_fix`: the difference between the cell that failed and the corrected code, with Accept and
// Decline. What is shown is what Accept puts into the cell; nothing runs. It follows the cell, which may change, go, or
// come back by an undo.

import { goTo, setSource } from "./cells.js";
import { FIX_TYPE, SAID, readCorrection, standing } from "./correction.js";
import { shownDifference } from "./difference.js";
import { button, element } from "./elements.js";
import { placeOf } from "./outputs.js";

/**
 * The renderer of these outputs, and the switch of its buttons.
 * @param {import("page").Packages} packages
 * @param {import("page").INotebookTracker} notebooks
 */
export function fixOutput(packages, notebooks) {
  /** @type {Set<() => void>} */
  const attached = new Set();
  let on = false;

  class FixOutput extends packages["@lumino/widgets"].Widget {
    /** @type {import("./correction.js").Correction | undefined} */ correction;
    declined = false;
    bar = element("div", "claude-fix-bar");
    status = element("span", "claude-said");
    /** Stop following the notebook. */
    end = () => {};
    /** Stop following the cell that failed. */
    leave = () => {};

    constructor() {
      super();
      this.addClass("claude-fix");
      this.status.setAttribute("role", "status");
      this.bar.dataset.lmSuppressShortcuts = "true"; // the notebook's own keys, such as Enter, are not for its buttons
    }

    /** @param {import("page").MimeModel} model */
    async renderModel({ data }) {
      this.correction = readCorrection(data[FIX_TYPE]);
      this.declined = false;
      const text = data["text/plain"];
      if (this.correction) this.follow();
      else this.node.replaceChildren(element("pre", "", typeof text === "string" ? text : ""));
    }

    onAfterAttach() {
      const model = placeOf(notebooks, this.node)?.notebook.model;
      attached.add(this.refresh);
      model?.cells.changed.connect(this.follow);
      this.end = () => model?.cells.changed.disconnect(this.follow);
      this.follow();
    }

    onBeforeDetach() {
      attached.delete(this.refresh);
      this.end();
      this.leave();
    }

    follow = () => {
      this.leave();
      const widgets = placeOf(notebooks, this.node)?.notebook.widgets ?? [];
      const model = widgets.find((cell) => cell.model.id === this.correction?.cell)?.model;
      model?.contentChanged.connect(this.refresh);
      this.leave = () => model?.contentChanged.disconnect(this.refresh);
      this.refresh();
    };

    refresh = () => {
      if (!this.correction) return;
      const { state, current, wanted } = this.standing(this.correction);
      const declined = this.declined && state === "open";
      const hasKeyboard = this.bar.contains(document.activeElement);
      const buttons = on && state === "open" ? this.buttons() : [];
      this.status.textContent = declined ? "Declined: the cell is as it was." : SAID[state];
      this.bar.replaceChildren(...buttons, this.status);
      this.node.replaceChildren(...(declined ? [] : [shownDifference(current, wanted)]), this.bar);
      if (hasKeyboard) buttons[0]?.focus();
    };

    buttons() {
      if (this.declined) return [button("Show", "Show the correction again", () => this.decline(false))];
      return [
        button("Accept", "Put the corrected code into the cell; Ctrl+Z there brings the old code back", this.accept),
        button("Decline", "Leave the cell as it is", () => this.decline(true)),
      ];
    }

    /** @param {boolean} declined */
    decline(declined) {
      this.declined = declined;
      this.refresh();
    }

    accept = () => {
      const notebook = placeOf(notebooks, this.node)?.notebook;
      if (!notebook || !this.correction) return;
      const { state, at, wanted } = this.standing(this.correction);
      if (state !== "open") return this.refresh();
      setSource(notebook, at, wanted);
      void goTo(notebook, at, "edit");
    };

    /** @param {import("./correction.js").Correction} correction */
    standing(correction) {
      return standing(placeOf(notebooks, this.node)?.notebook, correction, correction.mended);
    }
  }

  return {
    create: () => new FixOutput(),
    turn(/** @type {boolean} */ wanted) {
      on = wanted;
      for (const refresh of attached) refresh();
    },
  };
}
