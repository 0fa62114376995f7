// Prompts in prose colours: an extension of each code cell's editor, which sets the prompt's language while the first
// line is a magic that takes a prompt. The cell's mime type stays what it is, and so do completion, language servers
// and undo: only what colours the text is exchanged.

import { expressions, isPrompt, isRaw } from "./expressions.js";
import { promptLanguage } from "./prompt_language.js";

/**
 * Returns the switch of the feature, which is off until it is called.
 * @param {import("page").Packages} packages
 * @param {import("page").IEditorExtensionRegistry} extensions
 * @param {import("page").IEditorLanguageRegistry} languages
 * @returns {(on: boolean) => void}
 */
export function prompts(packages, extensions, languages) {
  const { Compartment, EditorState, Prec, StateEffect } = packages["@codemirror/state"];
  const { ViewPlugin } = packages["@codemirror/view"];
  const { EditorExtensionRegistry } = packages["@jupyterlab/codemirror"];

  const slot = new Compartment();
  const switched = StateEffect.define();
  /** @type {Set<import("@codemirror/view").EditorView>} */
  const views = new Set();
  /** @type {import("@codemirror/state").Extension} */
  const plain = [];
  /** What a prompt's editor has: of no use before it is loaded. @type {import("@codemirror/state").Extension} */
  let colours = plain;
  /** @type {Promise<void> | undefined} */
  let loading;
  let on = false;

  const editor = [
    EditorState.transactionExtender.of((change) => {
      if (!change.docChanged && !change.effects.some((effect) => effect.is(switched))) return null;
      const wanted = on && mayBePrompt(change.newDoc) && isPrompt(change.newDoc.toString()) ? colours : plain;
      return wanted === slot.get(change.startState) ? null : { effects: slot.reconfigure(wanted) };
    }),
    ViewPlugin.define((view) => {
      views.add(view);
      return { destroy: () => void views.delete(view) };
    }),
  ];
  const refresh = () => {
    for (const view of views) view.dispatch({ effects: switched.of(null) });
  };

  extensions.addExtension({
    name: "claude-magic:prompts",
    factory: ({ model }) => {
      if (model.type !== "code") return null; // a file, or a Markdown cell
      const now = on && isPrompt(model.sharedModel.getSource()) ? colours : plain;
      return EditorExtensionRegistry.createImmutableExtension([Prec.highest(slot.of(now)), editor]);
    },
  });

  return (wanted) => {
    on = wanted;
    if (on) {
      loading ??= promptLanguage(packages, languages).then((language) => {
        colours = [language, marks(packages["@codemirror/view"])];
        refresh();
      });
      loading.catch((error) => console.error("claude-magic:", error));
    }
    refresh();
  };
}

/**
 * Whether the first line that is not blank names a magic that takes a prompt: most keys are typed where none does.
 * @param {import("@codemirror/state").Text} doc
 */
function mayBePrompt(doc) {
  for (const line of doc.iterLines()) if (line.trim()) return line.includes("%%claude");
  return false;
}

/**
 * A ground behind each `{{…}}`, in fenced code as well: it is a value's place wherever it stands.
 * @param {import("page").Packages["@codemirror/view"]} view
 */
function marks({ Decoration, EditorView, ViewPlugin }) {
  const mark = Decoration.mark({ class: "cm-claude-expression" });
  /** @param {import("@codemirror/view").EditorView} view */
  const found = ({ state: { doc } }) => {
    const text = doc.toString();
    const places = isRaw(text) ? [] : expressions(text);
    return Decoration.set(places.map(({ from, to }) => mark.range(from, to)));
  };
  return [
    EditorView.baseTheme({
      ".cm-claude-expression": {
        background: "color-mix(in srgb, var(--jp-brand-color1) 12%, transparent)",
        borderRadius: "3px",
      },
    }),
    ViewPlugin.define(
      (view) => ({
        decorations: found(view),
        update(change) {
          if (change.docChanged) this.decorations = found(change.view);
        },
      }),
      { decorations: (plugin) => plugin.decorations },
    ),
  ];
}
