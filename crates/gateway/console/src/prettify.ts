// Lays a query out anew. A text with comments is only indented, since printing it would lose them.
import { indentRange } from "@codemirror/language";
import type { EditorView } from "@codemirror/view";
import { Lexer, Source, TokenKind, parse, print } from "graphql";

export function prettify(view: EditorView): boolean {
  const text = view.state.doc.toString();
  if (hasComments(text)) {
    view.dispatch({ changes: indentRange(view.state, 0, text.length), userEvent: "indent" });
    return true;
  }
  let printed: string;
  try {
    printed = `${print(parse(text))}\n`;
  } catch {
    return false;
  }
  if (printed !== text) view.dispatch({ changes: { from: 0, to: text.length, insert: printed }, userEvent: "input" });
  return true;
}

function hasComments(text: string): boolean {
  const lexer = new Lexer(new Source(text));
  const first = lexer.token;
  try {
    while (lexer.advance().kind !== TokenKind.EOF);
  } catch {
    return text.includes("#");
  }
  // The lexer passes comments over, but links them to their neighbours.
  for (let token: typeof first | null = first; token; token = token.next) {
    if (token.kind === TokenKind.COMMENT) return true;
  }
  return false;
}
