// The plugin: starts each feature, and switches it as the settings say.

import { code } from "./code.js";
import { commands } from "./commands.js";
import { addStyle } from "./elements.js";
import { fix } from "./fix.js";
import { follow } from "./kernel_state.js";
import { money } from "./money.js";
import { outline } from "./outline.js";
import { prompts } from "./prompts.js";
import { stop } from "./stop.js";

/** The packages that the features take from the page. */
export const NEEDS = /** @type {const} */ ([
  "@codemirror/language",
  "@codemirror/state",
  "@codemirror/view",
  "@jupyterlab/application",
  "@jupyterlab/apputils",
  "@jupyterlab/codemirror",
  "@jupyterlab/mermaid",
  "@jupyterlab/notebook",
  "@jupyterlab/rendermime",
  "@jupyterlab/settingregistry",
  "@jupyterlab/statusbar",
  "@jupyterlab/ui-components",
  "@lezer/common",
  "@lezer/highlight",
  "@lumino/widgets",
]);

/**
 * @param {import("page").Packages} packages
 * @returns {import("page").Plugin[]}
 */
export function plugins(packages) {
  const { IEditorExtensionRegistry, IEditorLanguageRegistry } = packages["@jupyterlab/codemirror"];
  const { INotebookTracker } = packages["@jupyterlab/notebook"];
  const { ISettingRegistry } = packages["@jupyterlab/settingregistry"];
  const { IRenderMimeRegistry } = packages["@jupyterlab/rendermime"];
  const { IMermaidManager } = packages["@jupyterlab/mermaid"];
  const { IStatusBar } = packages["@jupyterlab/statusbar"];
  const { ICommandPalette } = packages["@jupyterlab/apputils"];
  const { ILayoutRestorer } = packages["@jupyterlab/application"];
  return [
    {
      id: "claude-magic:plugin",
      description: "Prose colours, what it cost, an outline, commands, and buttons to stop, fix and insert.",
      autoStart: true,
      requires: [IEditorExtensionRegistry, IEditorLanguageRegistry, INotebookTracker, IRenderMimeRegistry],
      optional: [ISettingRegistry, IMermaidManager, IStatusBar, ICommandPalette, ILayoutRestorer],
      activate(app, extensions, languages, notebooks, rendermime, settings, mermaid, statusBar, palette, restorer) {
        addStyle();
        const kernels = follow(notebooks);
        const features = {
          outline: outline(packages, app, notebooks, kernels, { palette, restorer }), // before what opens it
          money: money(packages, app, notebooks, kernels, statusBar),
          prompts: prompts(packages, extensions, languages),
          stop: stop(packages, app, notebooks, palette),
          commands: commands(app, notebooks, palette),
          fix: fix(packages, app, notebooks, rendermime),
          code: code(packages, notebooks, mermaid),
        };
        // Not awaited: the page does not wait for us.
        void switchAll(settings, features).catch((error) => console.error("claude-magic:", error));
      },
    },
  ];
}

/**
 * Switch the features as the settings say, now and whenever they change; without settings all are on.
 * @param {import("page").ISettingRegistry | null} registry
 * @param {Record<string, (on: boolean) => void>} features
 */
async function switchAll(registry, features) {
  const settings = await registry?.load("claude-magic:plugin");
  const apply = () => {
    for (const [name, turn] of Object.entries(features)) turn(settings?.get(name).composite !== false);
  };
  settings?.changed.connect(apply);
  apply();
}
