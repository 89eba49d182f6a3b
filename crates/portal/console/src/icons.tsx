// Icons of 16 units, and the compass rose.
const PATHS = {
  alert: "M8 2.2l6.3 11.2H1.7zM8 6.4v3.4M8 11.6v.1",
  arrow: "M6 3.5L10.5 8 6 12.5",
  back: "M9.5 3.5L5 8l4.5 4.5",
  book: "M3 2.5h7.5A2.5 2.5 0 0113 5v8.5H5a2 2 0 01-2-2zM3 11.5a2 2 0 012-2h8",
  check: "M3 8.5l3.2 3.2L13 4.8",
  chevron: "M4 6l4 4 4-4",
  clock: "M8 2.2a5.8 5.8 0 110 11.6A5.8 5.8 0 018 2.2zM8 5v3.2l2.2 1.3",
  copy: "M6 5.5h7.5v8H6zM10 5.5v-3H2.5v8H6",
  cross: "M4 4l8 8M12 4l-8 8",
  dots: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  download: "M8 2.5V10M5 7l3 3 3-3M3 13.5h10",
  edit: "M3 13l.6-3L10.8 2.8l2.4 2.4L6 12.4z",
  eye: "M1.5 8S4 3.6 8 3.6 14.5 8 14.5 8 12 12.4 8 12.4 1.5 8 1.5 8zM8 6a2 2 0 110 4 2 2 0 010-4z",
  eyeOff: "M2.5 2.5l11 11M6.6 3.8A6.5 6.5 0 018 3.6c4 0 6.5 4.4 6.5 4.4a11 11 0 01-1.9 2.4M10.9 11.7a6.3 6.3 0 01-2.9.7C4 12.4 1.5 8 1.5 8a11 11 0 012.6-3M6.7 6.8a2 2 0 002.6 2.6",
  gauge: "M2.2 12a6.2 6.2 0 1111.6 0M8 10.5l3-4",
  key: "M10.6 2.4a3 3 0 110 6 3 3 0 010-6zM8.4 7.6l-5.6 5.6M4.4 11.6l1.7 1.7M6.5 9.5l1.5 1.5",
  lock: "M3.5 7h9v6.5h-9zM5.5 7V5a2.5 2.5 0 015 0v2",
  mail: "M2 3.5h12v9H2zM2 4.2l6 4.6 6-4.6",
  moon: "M13.2 9.7A5.6 5.6 0 016.3 2.8a5.6 5.6 0 106.9 6.9z",
  plus: "M8 3v10M3 8h10",
  reload: "M13.4 6A5.7 5.7 0 108 13.7a5.7 5.7 0 005-3.2M13.5 2.5V6H10",
  search: "M7 2.5a4.5 4.5 0 110 9 4.5 4.5 0 010-9zM10.4 10.4l3.2 3.2",
  sun: "M8 5.2a2.8 2.8 0 110 5.6 2.8 2.8 0 010-5.6zM8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1",
  terminal: "M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10.2h3",
  trash: "M2.8 4.2h10.4M6 4V2.6h4V4M4.2 4.4l.6 9h6.4l.6-9M6.8 7v3.8M9.2 7v3.8",
  user: "M8 2.4a2.8 2.8 0 110 5.6 2.8 2.8 0 010-5.6zM2.8 13.6c.4-2.7 2.4-4 5.2-4s4.8 1.3 5.2 4",
};

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Rose() {
  return (
    <svg class="rose" viewBox="0 0 32 32" aria-hidden="true">
      <circle cx="16" cy="16" r="14.5" />
      <path d="M16 3l3.2 9.8L29 16l-9.8 3.2L16 29l-3.2-9.8L3 16l9.8-3.2z" />
    </svg>
  );
}
