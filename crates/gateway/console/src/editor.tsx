// Text editors. Each is in a shadow tree, where CodeMirror's style sheets need no leave from the Content Security Policy.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import {
  HighlightStyle,
  bracketMatching,
  foldGutter,
  foldKeymap,
  indentOnInput,
  syntaxHighlighting,
} from "@codemirror/language";
import { lintKeymap } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  dropCursor,
  highlightActiveLine,
  keymap,
  lineNumbers,
  placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.definitionKeyword], color: "var(--code-keyword)", fontWeight: "600" },
  { tag: [tags.propertyName, tags.attributeName], color: "var(--code-field)" },
  { tag: [tags.typeName, tags.className, tags.definition(tags.typeName)], color: "var(--code-type)" },
  { tag: [tags.variableName, tags.atom, tags.special(tags.variableName)], color: "var(--code-variable)" },
  { tag: tags.string, color: "var(--code-string)" },
  { tag: [tags.number, tags.integer, tags.float, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.brace, tags.paren, tags.separator], color: "var(--ink-soft)" },
]);

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "transparent", fontSize: "var(--code-size)" },
  "&.cm-focused": { outline: "2px solid var(--focus)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", scrollbarWidth: "thin" },
  ".cm-content": { caretColor: "var(--accent)", padding: "12px 0" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--ink-faint)", border: "none", paddingLeft: "6px" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--line-active)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  "&.cm-focused .cm-matchingBracket": {
    backgroundColor: "var(--selection)",
    outline: "1px solid var(--edge-strong)",
  },
  "&:not(.cm-focused) .cm-matchingBracket": { backgroundColor: "transparent", outline: "none" },
  ".cm-placeholder": { color: "var(--ink-soft)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--sunken)", border: "1px solid var(--edge)", color: "var(--ink-soft)" },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)",
    color: "var(--ink)",
    border: "1px solid var(--edge-strong)",
    borderRadius: "8px",
    boxShadow: "var(--shadow)",
    overflow: "hidden",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", maxHeight: "16em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 10px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700" },
  ".cm-completionDetail": { color: "inherit", opacity: "0.75", fontStyle: "normal" },
  ".cm-completionInfo": { maxWidth: "340px", padding: "8px 12px" },
  // The images of CodeMirror are data URLs, which the policy of the page refuses.
  ".cm-lintRange": { backgroundImage: "none", textDecoration: "underline wavy var(--bad) 1px", paddingBottom: "0" },
  ".cm-lintRange-warning, .cm-lintRange-info, .cm-lintRange-hint": { textDecorationColor: "var(--warn)" },
  ".cm-diagnostic": { padding: "6px 12px", fontFamily: "var(--sans)" },
  ".cm-diagnostic-error": { borderLeft: "4px solid var(--bad)" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--ink)", borderColor: "var(--edge)" },
  ".cm-panel input, .cm-panel button": { font: "inherit", color: "inherit" },
  ".cm-textfield": { backgroundColor: "var(--sunken)", border: "1px solid var(--edge-strong)" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--sunken)", border: "1px solid var(--edge-strong)" },
});

export interface EditorProps {
  /** What the text is. */
  label: string;
  text: Signal<string>;
  extensions: Extension;
  hint?: string;
  isReadOnly?: boolean;
  /** Takes the editor once it is there. */
  onReady?: (view: EditorView) => void;
}

export function Editor({ label, text, extensions, hint, isReadOnly, onReady }: EditorProps) {
  const host = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    const view = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: text.peek(),
        extensions: [
          isReadOnly ? reading : writing,
          extensions,
          placeholder(hint ?? ""),
          EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) text.value = update.state.doc.toString();
          }),
          [syntaxHighlighting(colours), look],
        ],
      }),
    });
    const unsubscribe = text.subscribe((value) => {
      const length = view.state.doc.length;
      if (length !== value.length || view.state.doc.toString() !== value) {
        view.dispatch({ changes: { from: 0, to: length, insert: value } });
      }
    });
    onReady?.(view);
    return () => {
      unsubscribe();
      view.destroy();
    };
  }, []);
  return <div class="editor" ref={host} />;
}

const always: Extension = [
  lineNumbers(),
  foldGutter(),
  drawSelection(),
  bracketMatching(),
  highlightSelectionMatches(),
  EditorView.lineWrapping,
];

const reading: Extension = [
  always,
  EditorState.readOnly.of(true),
  keymap.of([...defaultKeymap, ...searchKeymap, ...foldKeymap]),
];

// Tab moves on, as everywhere else on the page: nobody is caught in an editor.
const writing: Extension = [
  always,
  history(),
  dropCursor(),
  indentOnInput(),
  closeBrackets(),
  autocompletion({ icons: false }),
  highlightActiveLine(),
  keymap.of([
    ...closeBracketsKeymap,
    ...defaultKeymap.filter((binding) => binding.key !== "Mod-Enter"),
    ...searchKeymap,
    ...historyKeymap,
    ...foldKeymap,
    ...completionKeymap,
    ...lintKeymap,
  ]),
];
