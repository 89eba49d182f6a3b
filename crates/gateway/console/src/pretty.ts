// JSON with line breaks. Numbers stay as they were written: parsing them would round those of 64 bits.

const OPENS = new Set(["{", "["]);
const CLOSES = new Set(["}", "]"]);

export function pretty(json: string): string {
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
  if (!tokens) return json;
  const parts: string[] = [];
  let depth = 0;
  const newLine = () => parts.push("\n", "  ".repeat(Math.max(depth, 0)));
  tokens.forEach((token, index) => {
    const before = tokens[index - 1] ?? "";
    if (CLOSES.has(token)) {
      depth -= 1;
      if (!OPENS.has(before)) newLine();
    } else if (OPENS.has(before) || before === ",") {
      newLine();
    }
    parts.push(token === ":" ? ": " : token);
    if (OPENS.has(token)) depth += 1;
  });
  return parts.join("");
}
