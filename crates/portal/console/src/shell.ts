// Words for a POSIX shell.

/** The word as the shell must read it to get the same bytes. Control characters need a shell that knows $'..'. */
export function word(text: string): string {
  if (/^[A-Za-z0-9_./:=@%+,-]+$/.test(text)) return text;
  if (/[\u0000-\u001f\u007f]/.test(text)) return `$'${[...text].map(escaped).join("")}'`;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (character === "\\" || character === "'") return `\\${character}`;
  return code < 32 || code === 127 ? `\\x${code.toString(16).padStart(2, "0")}` : character;
}

export function line(...words: string[]): string {
  return words.map(word).join(" ");
}
