// What screen readers are told: two regions that are in the document from its beginning, and are only filled.

/** Speaks the text, also if it is the same as before. */
export function announce(text: string, isUrgent = false): void {
  const region = document.getElementById(isUrgent ? "assertive" : "polite");
  if (!region) return;
  region.textContent = "";
  setTimeout(() => (region.textContent = text), 50);
}
