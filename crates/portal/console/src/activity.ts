// Whether somebody is here: input within the last minute, in any tab.
const MINUTE = 60_000;

const channel = new BroadcastChannel("portolan-activity");
let last = 0;
let told = 0;

function note(): void {
  last = Date.now();
  if (last - told < MINUTE / 4) return;
  told = last;
  channel.postMessage(last);
}

for (const kind of ["pointerdown", "keydown", "wheel"]) {
  addEventListener(kind, note, { passive: true, capture: true });
}
channel.addEventListener("message", ({ data }) => {
  if (typeof data === "number") last = Math.max(last, data);
});

export function isActive(): boolean {
  return Date.now() - last < MINUTE;
}
