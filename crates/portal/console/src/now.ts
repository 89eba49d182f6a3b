// The time that the page shows states at; it moves each half minute.
import { signal } from "@preact/signals";

const STEP = 30_000;

export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), STEP);
