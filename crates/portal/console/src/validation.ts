// What can be said about input before the server sees it.

export function nameProblem(name: string): string | undefined {
  if (!name) return "Name is required";
  if (name.length > 245) return "Must be 245 characters or less";
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) {
    return "Must be lowercase alphanumeric with hyphens, start and end with alphanumeric";
  }
  return undefined;
}

/** An address that may be left out. */
export function urlProblem(text: string): string | undefined {
  if (!text) return undefined;
  if (!URL.canParse(text)) return "Must be a valid URL";
  return isWeb(text) ? undefined : "Must be a valid HTTP or HTTPS URL";
}

/** Whether the text may become a link. */
export function isWeb(text: string | undefined): text is string {
  return text !== undefined && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

export function emailProblem(text: string): string | undefined {
  if (!text || /^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$/.test(text)) return undefined;
  return "Must be an email address";
}

/** The name of a resource after what people call it: words, and six hexadecimal digits against clashes. */
export function slug(text: string, digits: string): string {
  const words = text
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 200)
    .replace(/-+$/, "");
  return words ? `${words}-${digits}` : "";
}

/** The last second of the day in the user's own zone. */
export function endOfDay(date: string): string | undefined {
  const [year, month, day] = date.split("-").map(Number);
  if (!year || !month || !day) return undefined;
  return new Date(year, month - 1, day, 23, 59, 59).toISOString().replace(".000Z", "Z");
}
