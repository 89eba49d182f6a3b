// The theme: that of the system, unless the user has chosen the other.
import { computed, effect, signal } from "@preact/signals";
import { Icon } from "./icons";
import { forLong, stored } from "./storage";

type Theme = "light" | "dark";

const system = matchMedia("(prefers-color-scheme: dark)");
const dark = signal(system.matches);
system.addEventListener("change", (event) => (dark.value = event.matches));
const chosen = stored<Theme | null>(forLong, "portolan:theme", null);

export const theme = computed<Theme>(() => chosen.value ?? (dark.value ? "dark" : "light"));

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
});

export function ThemeButton() {
  const other = theme.value === "dark" ? "light" : "dark";
  const label = `Switch to the ${other} theme`;
  return (
    <button class="quiet icon" type="button" aria-label={label} title={label} onClick={() => (chosen.value = other)}>
      <Icon name={other === "dark" ? "moon" : "sun"} />
    </button>
  );
}
