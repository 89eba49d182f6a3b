// How times read.
const DATE = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const DAY_OF_YEAR = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** The day; without the year if that is the current one. */
export function dateText(time: string | undefined): string {
  if (!time || Number.isNaN(Date.parse(time))) return "–";
  const date = new Date(time);
  return (date.getFullYear() === new Date().getFullYear() ? DAY_OF_YEAR : DATE).format(date);
}

export function timeText(time: string | undefined): string {
  return time && !Number.isNaN(Date.parse(time)) ? TIME.format(new Date(time)) : "–";
}
