// The plugin: starts each feature, and switches it as the settings say.

import { follow as followKernels } from "./kernel_state.js";
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
  "@jupyterlab/notebook",
  "@jupyterlab/settingregistry",
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
  const { ICommandPalette } = packages["@jupyterlab/apputils"];
  const { ILayoutRestorer } = packages["@jupyterlab/application"];
  return [
    {
      id: "claude-magic:plugin",
      description: "Prompts in prose colours, and a Stop while Claude answers.",
      autoStart: true,
      requires: [IEditorExtensionRegistry, IEditorLanguageRegistry, INotebookTracker],
      optional: [ISettingRegistry, ICommandPalette, ILayoutRestorer],
      activate(app, extensions, languages, notebooks, settings, palette, restorer) {
        // Not awaited: the page does not wait for us.
        const state = followKernels(packages, app, notebooks);
        const features = {
          prompts: prompts(packages, extensions, languages),
          stop: stop(packages, app, notebooks),
          outline: outline(packages, app, notebooks, state, { palette, restorer }),
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
