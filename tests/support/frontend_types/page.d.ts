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
  "@jupyterlab/application": { ILayoutRestorer: Token<ILayoutRestorer> };
  "@jupyterlab/apputils": {
    Dialog: {
      cancelButton(): DialogButton;
      okButton(options: { label: string }): DialogButton;
    };
    ICommandPalette: Token<ICommandPalette>;
    showDialog(options: {
      title: string;
      body: Widget;
      buttons: DialogButton[];
    }): Promise<{ button: DialogButton }>;
  };
  "@jupyterlab/codemirror": {
    IEditorExtensionRegistry: Token<IEditorExtensionRegistry>;
    IEditorLanguageRegistry: Token<IEditorLanguageRegistry>;
    EditorExtensionRegistry: { createImmutableExtension(extension: Extension): ConfigurableExtension };
  };
  "@jupyterlab/notebook": {
    INotebookTracker: Token<INotebookTracker>;
    NotebookActions: {
      expandParent(cell: Cell, notebook: Notebook): void;
      runCells(notebook: Notebook, cells: Cell[], sessionContext: SessionContext): Promise<boolean>;
    };
  };
  "@jupyterlab/settingregistry": { ISettingRegistry: Token<ISettingRegistry> };
  "@jupyterlab/ui-components": { historyIcon: unknown; stopIcon: unknown };
  "@lezer/common": typeof import("@lezer/common");
  "@lezer/highlight": typeof import("@lezer/highlight");
  "@lumino/widgets": { Widget: typeof Widget };
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
  id: string;
  outputs?: OutputList;
  executionState?: string;
  stateChanged: Signal<CellModel, unknown>;
}

export interface INotebookTracker {
  activeCell: { model: CellModel } | null;
  activeCellChanged: Signal<INotebookTracker, unknown>;
  currentWidget: NotebookPanel | null;
  currentChanged: Signal<INotebookTracker, unknown>;
}

export interface SessionContext {
  session: { kernel: { interrupt(): Promise<void> } | null } | null;
}

export interface NotebookPanel extends Widget {
  content: Notebook;
  sessionContext: SessionContext;
}

export interface Notebook {
  model: { cells: CellList } | null;
  widgets: Cell[];
  activeCellIndex: number;
  deselectAll(): void;
  scrollToItem(index: number, align: "start"): Promise<void>;
}

export interface Cell {
  model: CellModel;
}

export interface CellList extends Iterable<CellModel> {
  changed: Signal<CellList, unknown>;
}

export interface OutputList {
  length: number;
  get(index: number): { metadata: Record<string, unknown> };
  changed: Signal<OutputList, unknown>;
}

export class Widget {
  constructor(options: { node: HTMLElement });
  id: string;
  readonly node: HTMLElement;
  readonly title: { caption: string; icon: unknown };
  readonly isVisible: boolean;
  parent: Widget | null;
  protected onAfterAttach(message: unknown): void;
  protected onAfterShow(message: unknown): void;
  protected onBeforeDetach(message: unknown): void;
  protected onBeforeHide(message: unknown): void;
  protected onActivateRequest(message: unknown): void;
}

export interface DialogButton {
  accept: boolean;
}

export interface ICommandPalette {
  addItem(item: { command: string; category: string }): unknown;
}

export interface ILayoutRestorer {
  add(widget: Widget, name: string): void;
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
  shell: {
    add(widget: Widget, area: "right", options: { rank: number; type: string }): void;
    activateById(id: string): void;
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
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
  ): void;
}
