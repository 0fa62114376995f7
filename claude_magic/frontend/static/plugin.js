// The plugin: starts each feature, and switches it as the settings say.

import { commands } from "./commands.js";
import { prompts } from "./prompts.js";
import { stop } from "./stop.js";

/** The packages that the features take from the page. */
export const NEEDS = /** @type {const} */ ([
  "@codemirror/language",
  "@codemirror/state",
  "@codemirror/view",
  "@jupyterlab/apputils",
  "@jupyterlab/codemirror",
  "@jupyterlab/notebook",
  "@jupyterlab/settingregistry",
  "@jupyterlab/ui-components",
  "@lezer/common",
  "@lezer/highlight",
]);

/**
 * @param {import("page").Packages} packages
 * @returns {import("page").Plugin[]}
 */
export function plugins(packages) {
  const { IEditorExtensionRegistry, IEditorLanguageRegistry } = packages["@jupyterlab/codemirror"];
  const { INotebookTracker } = packages["@jupyterlab/notebook"];
  const { ICommandPalette } = packages["@jupyterlab/apputils"];
  const { ISettingRegistry } = packages["@jupyterlab/settingregistry"];
  return [
    {
      id: "claude-magic:plugin",
      description: "Prompts in prose colours, a Stop while Claude answers, commands to ask about cells.",
      autoStart: true,
      requires: [IEditorExtensionRegistry, IEditorLanguageRegistry, INotebookTracker],
      optional: [ISettingRegistry, ICommandPalette],
      activate(app, extensions, languages, notebooks, settings, palette) {
        // Not awaited: the page does not wait for us.
        const features = {
          prompts: prompts(packages, extensions, languages),
          stop: stop(packages, app, notebooks, palette),
          commands: commands(app, notebooks, palette),
        };
        void follow(settings, features).catch((error) => console.error("claude-magic:", error));
      },
    },
  ];
}

/**
 * Switch the features as the settings say, now and whenever they change; without settings all are on.
 * @param {import("page").ISettingRegistry | null} registry
 * @param {Record<string, (on: boolean) => void>} features
 */
async function follow(registry, features) {
  const settings = await registry?.load("claude-magic:plugin");
  const apply = () => {
    for (const [name, turn] of Object.entries(features)) turn(settings?.get(name).composite !== false);
  };
  settings?.changed.connect(apply);
  apply();
}
