// The parser of event streams: lines in, frames out, whatever the chunks are.

export interface Frame {
  event: string;
  data: string;
  id: string;
}

export class Frames {
  private rest = "";
  private fields: Record<string, string[]> = {};

  push(text: string): Frame[] {
    const found: Frame[] = [];
    const lines = (this.rest + text).split(/\r\n|\n/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        const frame = this.frame();
        if (frame) found.push(frame);
      } else if (!line.startsWith(":")) {
        const colon = line.indexOf(":");
        const [name, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
        (this.fields[name] ??= []).push(value);
      }
    }
    return found;
  }

  private frame(): Frame | undefined {
    const { event, data, id } = this.fields;
    this.fields = {};
    if (!data) return undefined;
    return { event: event?.at(-1) ?? "message", data: data.join("\n"), id: id?.at(-1) ?? "" };
  }
}
