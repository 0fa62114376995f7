// Commands: ask Claude about the active cell or about what is selected, turn a cell into a prompt and back. None of
// them runs anything. The schema file has their menus and keys.

import { askAbout } from "./asking.js";
import { insertBelow } from "./cells.js";
import { quotation } from "./quotes.js";
import { selection } from "./selection.js";
import { turning } from "./turning.js";

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Application} app
 * @param {import("page").INotebookTracker} notebooks
 * @param {import("page").ICommandPalette | null} palette
 * @returns {(on: boolean) => void}
 */
export function commands(app, notebooks, palette) {
  let on = false;
  const selected = selection(notebooks);
  const turn = turning();

  /** The notebook in front, if it may have prompts: in Python, or in a language that the page does not know. */
  const panel = () => {
    const current = notebooks.currentWidget;
    const language = current?.content.model?.getMetadata("language_info")?.name;
    const isPython = typeof language !== "string" || /^i?python\d*$/i.test(language);
    return on && current && current === app.shell.currentWidget && isPython ? current : null;
  };

  /** @type {[id: string, label: string, caption: string, isEnabled: () => boolean, execute: () => unknown][]} */
  const table = [
    [
      "claude-magic:ask-about-cell",
      "Ask Claude About This Cell",
      "A new %%claude cell below, which sends this cell along",
      () => Boolean(panel()?.content.activeCell),
      () => askAbout(panel()),
    ],
    [
      "claude-magic:ask-about-selection",
      "Ask Claude About the Selection",
      "A new %%claude cell below, which quotes the selected text",
      () => Boolean(panel() && selected()),
      () => {
        const [notebook, found] = [panel()?.content, selected()];
        if (!notebook || !found) return undefined;
        const source = quotation(found.text, found.language);
        return insertBelow(notebook, notebook.widgets.indexOf(found.cell), "code", source, "edit");
      },
    ],
    [
      "claude-magic:turn-into-prompt",
      "Turn Into %%claude and Back",
      "Make this cell a %%claude cell, or a %%claude cell what it was before",
      () => turn.applies(panel()?.content.activeCell),
      () => turn.execute(panel()?.content),
    ],
  ];
  for (const [id, label, caption, isEnabled, execute] of table) {
    app.commands.addCommand(id, {
      label,
      caption,
      isVisible: () => on,
      isEnabled,
      execute: () => (isEnabled() ? execute() : undefined),
    });
    palette?.addItem({ command: id, category: "Claude" });
  }
  return (wanted) => {
    on = wanted;
    for (const [id] of table) app.commands.notifyCommandChanged(id);
  };
}
