// The theme: that of the system, unless the user has chosen the other.
import { computed, effect, signal } from "@preact/signals";
import { Icon } from "./icons";

const NAME = "portolan:theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = signal(system.matches);
system.addEventListener("change", (event) => (isDark.value = event.matches));
const chosen = signal(kept());

const theme = computed(() => chosen.value ?? (isDark.value ? "dark" : "light"));

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
});

function kept(): string | null {
  try {
    return localStorage.getItem(NAME);
  } catch {
    return null;
  }
}

function choose(next: string): void {
  chosen.value = next;
  try {
    localStorage.setItem(NAME, next);
  } catch {
    // It holds for this visit.
  }
}

export function ThemeButton() {
  const other = theme.value === "dark" ? "light" : "dark";
  const label = `Switch to the ${other} theme`;
  return (
    <button class="quiet square" type="button" aria-label={label} title={label} onClick={() => choose(other)}>
      <Icon name={other === "dark" ? "moon" : "sun"} />
    </button>
  );
}
