// What the front end uses of JupyterLab, as its documentation of 4.4 to 4.6 has it: its own packages of types would
// bring hundreds of megabytes.

import type { Extension } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
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
  "@jupyterlab/apputils": { ICommandPalette: Token<ICommandPalette> };
  "@jupyterlab/codemirror": {
    IEditorExtensionRegistry: Token<IEditorExtensionRegistry>;
    IEditorLanguageRegistry: Token<IEditorLanguageRegistry>;
    EditorExtensionRegistry: { createImmutableExtension(extension: Extension): ConfigurableExtension };
  };
  "@jupyterlab/notebook": {
    INotebookTracker: Token<INotebookTracker>;
    NotebookActions: {
      executionScheduled: Signal<unknown, { notebook: Notebook; cell: Cell }>;
      executed: Signal<unknown, { notebook: Notebook; cell: Cell }>;
    };
  };
  "@jupyterlab/settingregistry": { ISettingRegistry: Token<ISettingRegistry> };
  "@jupyterlab/ui-components": { stopIcon: { element(options: { container: HTMLElement; title?: string }): unknown } };
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

/** Of a shared model; its own `undoManager`, which not all of them have. */
export interface Undoable {
  undoManager?: { stopCapturing(): void } | null;
}

export interface CellModel extends EditorModel {
  id: string;
  executionCount?: number | null;
  executionState?: string;
  outputs?: { length: number };
  sharedModel: EditorModel["sharedModel"] & Undoable & { updateSource(start: number, end: number, value: string): void };
  stateChanged: Signal<CellModel, unknown>;
  getMetadata(key: string): unknown;
  toJSON(): { id: string; metadata: object; attachments?: unknown };
}

export interface Cell {
  model: CellModel;
  node: HTMLElement;
  ready: Promise<void>;
  /** Of a Markdown cell. */
  rendered?: boolean;
  isDisposed: boolean;
  disposed: Signal<Cell, void>;
  /** None while the cell is out of sight. */
  editor: {
    editor: EditorView;
    focus(): void;
    getPositionAt(offset: number): object | undefined;
    setCursorPosition(position: object): void;
  } | null;
}

export interface NotebookModel {
  /** Of `language_info`, as it stands in the file: anything. */
  getMetadata(key: "language_info"): { name?: unknown } | undefined | null;
  sharedModel: Undoable & {
    transact(change: () => void): void;
    deleteCell(index: number): void;
    insertCell(index: number, cell: object): unknown;
  };
}

export interface Notebook {
  model: NotebookModel | null;
  widgets: readonly Cell[];
  activeCell: Cell | null;
  activeCellIndex: number;
  mode: "command" | "edit";
  node: HTMLElement;
  activate(): void;
  deselectAll(): void;
  scrollToItem(index: number): Promise<void>;
}

export interface Kernel {
  id: string;
  status: string;
  statusChanged: Signal<Kernel, string>;
  interrupt(): Promise<void>;
  requestHistory(wanted: object): Promise<{ content: { history?: [number, number, unknown][] } }>;
}

export interface NotebookPanel {
  content: Notebook;
  sessionContext: {
    session: { kernel: Kernel | null } | null;
    ready: Promise<void>;
    statusChanged: Signal<unknown, string>;
  };
  context: { ready: Promise<void> };
  revealed: Promise<void>;
}

export interface INotebookTracker {
  activeCell: Cell | null;
  activeCellChanged: Signal<INotebookTracker, unknown>;
  currentWidget: NotebookPanel | null;
  widgetAdded: Signal<INotebookTracker, NotebookPanel>;
  find(test: (panel: NotebookPanel) => boolean): NotebookPanel | undefined;
  forEach(each: (panel: NotebookPanel) => void): void;
}

export interface ICommandPalette {
  addItem(item: { command: string; category: string }): unknown;
}

export interface Application {
  commands: {
    addCommand(
      id: string,
      options: {
        label: string;
        caption: string;
        icon?: unknown;
        isVisible: () => boolean;
        isEnabled: () => boolean;
        execute: () => unknown;
      },
    ): unknown;
    notifyCommandChanged(id: string): void;
  };
  shell: { currentWidget: unknown };
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
  ): void;
}
