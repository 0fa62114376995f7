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
  "@jupyterlab/mermaid": { IMermaidManager: Token<IMermaidManager> };
  "@jupyterlab/notebook": { INotebookTracker: Token<INotebookTracker> };
  "@jupyterlab/rendermime": { IRenderMimeRegistry: Token<IRenderMimeRegistry> };
  "@jupyterlab/settingregistry": { ISettingRegistry: Token<ISettingRegistry> };
  "@jupyterlab/ui-components": {
    addBelowIcon: LabIcon;
    copyIcon: LabIcon;
    editIcon: LabIcon;
    imageIcon: LabIcon;
    stopIcon: unknown;
  };
  "@lezer/common": typeof import("@lezer/common");
  "@lezer/highlight": typeof import("@lezer/highlight");
  "@lumino/widgets": { Widget: typeof Widget };
}

declare class Widget {
  node: HTMLElement;
  addClass(name: string): void;
  onAfterAttach(): void;
  onBeforeDetach(): void;
}

export interface LabIcon {
  element(props: { container: HTMLElement; tag: "span" }): HTMLElement;
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
  executionState?: string;
  stateChanged: Signal<CellModel, unknown>;
  contentChanged: Signal<CellModel, void>;
  getMetadata(key: string): unknown;
  /** Of a code cell. */
  outputs?: { length: number; get(at: number): OutputModel; changed: Signal<unknown, unknown> };
  sharedModel: {
    getSource(): string;
    setSource(source: string): void;
    undoManager: { stopCapturing(): void } | null;
  };
}

export interface OutputModel {
  type: string;
  data?: Record<string, unknown>;
}

export interface Notebook {
  node: HTMLElement;
  widgets: readonly { model: CellModel; node: HTMLElement }[];
  activeCellIndex: number;
  mode: "command" | "edit";
  activate(): void;
  deselectAll(): void;
  scrollToItem(at: number): Promise<void>;
  model: {
    defaultKernelLanguage: string;
    cells: { changed: Signal<unknown, unknown> };
    sharedModel: {
      undoManager: { stopCapturing(): void } | null;
      insertCell(at: number, cell: { cell_type: string; source: string; metadata: Record<string, unknown> }): unknown;
    };
  } | null;
}

export interface NotebookPanel {
  node: HTMLElement;
  content: Notebook;
  sessionContext: { session: { kernel: { interrupt(): Promise<void> } | null } | null };
}

export interface INotebookTracker {
  activeCell: { model: CellModel } | null;
  activeCellChanged: Signal<INotebookTracker, unknown>;
  currentWidget: NotebookPanel | null;
  widgetAdded: Signal<INotebookTracker, NotebookPanel>;
  find(fits: (panel: NotebookPanel) => boolean): NotebookPanel | undefined;
  forEach(each: (panel: NotebookPanel) => void): void;
}

export interface IMermaidManager {
  renderSvg(text: string): Promise<{ svg: string; width?: number | null; accessibleTitle?: string | null }>;
}

export interface MimeModel {
  data: Record<string, unknown>;
}

export interface IRenderMimeRegistry {
  addFactory(factory: {
    safe: boolean;
    mimeTypes: string[];
    defaultRank: number;
    createRenderer: () => { renderModel(model: MimeModel): Promise<void> };
  }): void;
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
    execute(id: string): Promise<unknown>;
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
    rendermime: IRenderMimeRegistry,
    settings: ISettingRegistry | null,
    mermaid: IMermaidManager | null,
  ): void;
}
