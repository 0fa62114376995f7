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
  "@jupyterlab/mermaid": { IMermaidManager: Token<IMermaidManager> };
  "@jupyterlab/notebook": { INotebookTracker: Token<INotebookTracker>; NotebookActions: NotebookActions };
  "@jupyterlab/rendermime": { IRenderMimeRegistry: Token<IRenderMimeRegistry> };
  "@jupyterlab/settingregistry": { ISettingRegistry: Token<ISettingRegistry> };
  "@jupyterlab/statusbar": { IStatusBar: Token<IStatusBar> };
  "@jupyterlab/ui-components": {
    addBelowIcon: LabIcon;
    copyIcon: LabIcon;
    editIcon: LabIcon;
    historyIcon: unknown;
    imageIcon: LabIcon;
    stopIcon: LabIcon;
  };
  "@lezer/common": typeof import("@lezer/common");
  "@lezer/highlight": typeof import("@lezer/highlight");
  "@lumino/widgets": { Widget: typeof Widget };
}

export interface LabIcon {
  element(props: { container: HTMLElement; tag: "span" }): HTMLElement;
}

export interface ConfigurableExtension {
  instance(value: unknown): Extension;
}

export class Widget {
  constructor(options?: { node: HTMLElement });
  id: string;
  readonly node: HTMLElement;
  readonly title: { caption: string; icon: unknown };
  readonly isHidden: boolean;
  readonly isVisible: boolean;
  parent: Widget | null;
  activate(): void;
  addClass(name: string): void;
  setHidden(hidden: boolean): void;
  protected onActivateRequest(message: unknown): void;
  protected onAfterAttach(message: unknown): void;
  protected onAfterShow(message: unknown): void;
  protected onBeforeDetach(message: unknown): void;
  protected onBeforeHide(message: unknown): void;
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

export interface IStatusBar {
  registerStatusItem(
    id: string,
    options: {
      item: Widget;
      align: "left" | "middle" | "right";
      rank: number;
      priority: number;
      isActive: () => boolean;
    },
  ): unknown;
}

/** A cell's model, or a file's, which has no `type`. */
export interface EditorModel {
  type?: "code" | "markdown" | "raw";
  sharedModel: { getSource(): string; setSource(source: string): void };
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
  sharedModel: EditorModel["sharedModel"] & Undoable & { updateSource(start: number, end: number, value: string): void };
  stateChanged: Signal<CellModel, unknown>;
  contentChanged: Signal<CellModel, void>;
  getMetadata(key: string): unknown;
  /** Of a code cell. */
  outputs?: OutputList;
  toJSON(): { id: string; metadata: object; attachments?: unknown };
}

export interface OutputModel {
  type: string;
  data?: Record<string, unknown>;
  metadata?: Record<string, unknown>;
}

export interface OutputList {
  length: number;
  get(index: number): OutputModel;
  changed: Signal<OutputList, unknown>;
}

export interface CellList extends Iterable<CellModel> {
  changed: Signal<CellList, unknown>;
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
    hasFocus(): boolean;
    getPositionAt(offset: number): object | undefined;
    setCursorPosition(position: object): void;
  } | null;
}

export interface NotebookModel {
  defaultKernelLanguage: string;
  cells: { changed: Signal<unknown, unknown> };
  /** Of `language_info`, as it stands in the file: anything. */
  getMetadata(key: "language_info"): { name?: unknown } | undefined | null;
  sharedModel: Undoable & {
    transact(change: () => void): void;
    deleteCell(index: number): void;
    insertCell(index: number, cell: object): unknown;
  };
}

export interface Comm {
  onMsg: (message: { content: { data: unknown } }) => void;
  onClose: () => void;
  send(data: unknown): unknown;
}

export interface Kernel {
  id: string;
  clientId: string;
  handleComms: boolean;
  info: Promise<{ language_info: { name: string } }>;
  disposed: Signal<Kernel, void>;
  status: string;
  statusChanged: Signal<Kernel, string>;
  interrupt(): Promise<void>;
  requestHistory(wanted: object): Promise<{ content: { history?: [number, number, unknown][] } }>;
  hasComm(id: string): boolean;
  createComm(target: string, id: string): Comm;
  registerCommTarget(target: string, callback: (comm: Comm) => void): void;
  requestCommInfo(content: { target_name: string }): Promise<{ content: { comms?: Record<string, unknown> } }>;
}

export interface SessionContext {
  ready: Promise<void>;
  session: { kernel: Kernel | null } | null;
  kernelChanged: Signal<SessionContext, unknown>;
  statusChanged: Signal<SessionContext, string>;
  connectionStatusChanged: Signal<SessionContext, string>;
}

export interface Notebook {
  node: HTMLElement;
  activeCell: Cell | null;
  activeCellIndex: number;
  widgets: readonly Cell[];
  mode: "command" | "edit";
  activate(): void;
  deselectAll(): void;
  scrollToItem(index: number, align?: "start"): Promise<void>;
  model: NotebookModel | null;
}

export interface NotebookActions {
  executionScheduled: Signal<unknown, { notebook: Notebook; cell: Cell }>;
  executed: Signal<unknown, { notebook: Notebook; cell: Cell }>;
  expandParent(cell: Cell, notebook: Notebook): void;
  run(notebook: Notebook, context: SessionContext): Promise<boolean>;
  runCells(notebook: Notebook, cells: Cell[], context: SessionContext): Promise<boolean>;
}

export interface NotebookPanel extends Widget {
  content: Notebook;
  context: { ready: Promise<void> };
  revealed: Promise<void>;
  model: { cells: CellList; contentChanged: Signal<unknown, void>; defaultKernelLanguage: string } | null;
  sessionContext: SessionContext;
}

export interface INotebookTracker {
  activeCell: Cell | null;
  activeCellChanged: Signal<INotebookTracker, unknown>;
  currentWidget: NotebookPanel | null;
  currentChanged: Signal<INotebookTracker, NotebookPanel | null>;
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
    isEnabled(id: string): boolean;
  };
  restored: Promise<unknown>;
  shell: {
    currentWidget: unknown;
    add(widget: Widget, area: "menu" | "right", options: { rank: number; type?: string }): void;
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
    rendermime: IRenderMimeRegistry,
    settings: ISettingRegistry | null,
    mermaid: IMermaidManager | null,
    statusBar: IStatusBar | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
  ): void;
}
