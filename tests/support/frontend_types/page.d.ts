// What the front end uses of JupyterLab, as its documentation of 4.4 to 4.6 has it: its own packages of types would
// bring hundreds of megabytes.

import type { Extension } from "@codemirror/state";
import type { LanguageSupport } from "@codemirror/language";

interface Token<T> {
  name: string;
  of?: T;
}

interface Signal<Sender, Args> {
  connect(slot: (sender: Sender, args: Args) => void): boolean;
  disconnect(slot: (sender: Sender, args: Args) => void): boolean;
}

export interface Packages {
  "@codemirror/language": typeof import("@codemirror/language");
  "@codemirror/state": typeof import("@codemirror/state");
  "@codemirror/view": typeof import("@codemirror/view");
  "@jupyterlab/codemirror": {
    IEditorExtensionRegistry: Token<IEditorExtensionRegistry>;
    IEditorLanguageRegistry: Token<IEditorLanguageRegistry>;
    EditorExtensionRegistry: { createImmutableExtension(extension: Extension): ConfigurableExtension };
  };
  "@jupyterlab/notebook": { INotebookTracker: Token<INotebookTracker> };
  "@jupyterlab/settingregistry": { ISettingRegistry: Token<ISettingRegistry> };
  "@jupyterlab/ui-components": { stopIcon: unknown };
  "@lezer/common": typeof import("@lezer/common");
  "@lezer/highlight": typeof import("@lezer/highlight");
}

export interface ConfigurableExtension {
  instance(value: unknown): Extension;
}

/** A cell's model, or a file's, which has no `type`. */
export interface EditorModel {
  type?: "code" | "markdown" | "raw";
  sharedModel: { getSource(): string };
}

export interface IEditorExtensionRegistry {
  addExtension(extension: {
    name: string;
    factory: (options: { model: EditorModel }) => ConfigurableExtension | null;
  }): void;
}

export interface IEditorLanguageRegistry {
  getLanguage(name: string): Promise<{ support?: LanguageSupport } | null>;
}

export interface CellModel extends EditorModel {
  executionState?: string;
  stateChanged: Signal<CellModel, unknown>;
}

export interface INotebookTracker {
  activeCell: { model: CellModel } | null;
  activeCellChanged: Signal<INotebookTracker, unknown>;
  currentWidget: {
    sessionContext: { session: { kernel: { interrupt(): Promise<void> } | null } | null };
  } | null;
}

export interface Application {
  commands: {
    addCommand(
      id: string,
      options: {
        label: string;
        caption: string;
        icon: unknown;
        isVisible: () => boolean;
        isEnabled: () => boolean;
        execute: () => unknown;
      },
    ): unknown;
    notifyCommandChanged(id: string): void;
  };
}

export interface ISettings {
  changed: Signal<ISettings, void>;
  get(key: string): { composite: unknown };
}

export interface ISettingRegistry {
  load(plugin: string): Promise<ISettings>;
}

export interface Plugin {
  id: string;
  description: string;
  autoStart: boolean;
  requires: Token<unknown>[];
  optional: Token<unknown>[];
  activate(
    app: Application,
    extensions: IEditorExtensionRegistry,
    languages: IEditorLanguageRegistry,
    notebooks: INotebookTracker,
    settings: ISettingRegistry | null,
  ): void;
}
