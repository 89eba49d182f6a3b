// The mark that the page can be used: its first rows are drawn, and the search takes a key.
let isMarked = false;

export function markReady(): void {
  if (isMarked) return;
  isMarked = true;
  requestAnimationFrame(() => performance.mark("portal:ready"));
}
