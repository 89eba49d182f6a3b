// The choice of a time at which a key stops working.
import { Choice, Field } from "./fields";
import { dateText } from "./when";
import { endOfDay } from "./validation";

export type Expiry = { kind: "none" } | { kind: "keep" } | { kind: "days"; days: number } | { kind: "date"; date: string };

const DAY = 86_400_000;
const PRESETS = [7, 30, 60, 90];

/** The time; `invalid` if the chosen date is none, or in the past. */
export function expiryOf(expiry: Expiry, kept?: string): string | "invalid" | undefined {
  if (expiry.kind === "none") return undefined;
  if (expiry.kind === "keep") return kept;
  if (expiry.kind === "days") return endOfDay(dayIn(expiry.days));
  const end = endOfDay(expiry.date);
  return end && Date.parse(end) - Date.now() > DAY / 24 ? end : "invalid";
}

/** The date in so many days, in the user's own zone. */
function dayIn(days: number): string {
  const time = new Date();
  time.setDate(time.getDate() + days);
  return [time.getFullYear(), time.getMonth() + 1, time.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

interface ExpiryProps {
  expiry: Expiry;
  onChange: (expiry: Expiry) => void;
  kept?: string | undefined;
}

export function ExpiryChoice({ expiry, onChange, kept }: ExpiryProps) {
  const options = [
    ...(kept ? [["keep", `As it is: ${dateText(kept)}`] as const] : []),
    ["none", "No expiration"] as const,
    ...PRESETS.map((days) => [String(days), `${days} days (${dateText(endOfDay(dayIn(days)))})`] as const),
    ["date", "Custom date"] as const,
  ];
  const chosen = expiry.kind === "days" ? String(expiry.days) : expiry.kind;
  const choose = (value: string) => {
    if (value === "none" || value === "keep") onChange({ kind: value });
    else if (value === "date") onChange({ kind: "date", date: dayIn(1) });
    else onChange({ kind: "days", days: Number(value) });
  };
  return (
    <>
      <Choice label="Expiration" value={chosen} options={options} onChange={choose} />
      {expiry.kind === "date" && (
        <Field
          label="Last day"
          type="date"
          min={dayIn(1)}
          value={expiry.date}
          onChange={(date) => onChange({ kind: "date", date })}
          problem={expiryOf(expiry) === "invalid" ? "Must be a day after today" : undefined}
        />
      )}
    </>
  );
}
