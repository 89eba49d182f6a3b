// Drawings: icons of 16 units, and the compass rose.
const PATHS = {
  play: "M4.5 2.8v10.4L13 8z",
  stop: "M4 4h8v8H4z",
  tidy: "M2.5 4h11M2.5 8h7M2.5 12h9",
  share: "M8 10V2.5M5 5l3-3 3 3M3 8.5v5h10v-5",
  docs: "M3 2.5h7.5A2.5 2.5 0 0113 5v8.5H5a2 2 0 01-2-2zM3 11.5a2 2 0 012-2h8",
  history: "M2.6 6A5.7 5.7 0 118 13.7 5.7 5.7 0 013 10.5M2.5 2.5V6H6M8 5v3.2l2.2 1.4",
  keys: "M1.5 4h13v8h-13zM4 6.5h.1M7 6.5h.1M10 6.5h.1M12.4 6.5h.1M4.5 9.5h7",
  sun: "M8 5.2a2.8 2.8 0 110 5.6 2.8 2.8 0 010-5.6zM8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1",
  moon: "M13.2 9.7A5.6 5.6 0 016.3 2.8a5.6 5.6 0 106.9 6.9z",
  cross: "M4 4l8 8M12 4l-8 8",
  back: "M9.5 3.5L5 8l4.5 4.5",
  reload: "M13.4 6A5.7 5.7 0 108 13.7a5.7 5.7 0 005-3.2M13.5 2.5V6H10",
  plus: "M8 3v10M3 8h10",
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  const solid = name === "play" || name === "stop";
  return (
    <svg class={solid ? "solid" : "line"} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Rose() {
  return (
    <svg class="rose" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <circle cx="16" cy="16" r="14.5" />
      <path d="M16 3l3.2 9.8L29 16l-9.8 3.2L16 29l-3.2-9.8L3 16l9.8-3.2z" />
      <path class="north" d="M16 3l3.2 9.8L16 16z" />
    </svg>
  );
}

/** The net of rhumb lines of a sea chart, drawn from three roses. */
export function Rhumbs() {
  const roses = [
    [150, 130],
    [640, 420],
    [980, 90],
  ] as const;
  const rays = Array.from({ length: 16 }, (_, index) => (index * Math.PI) / 16);
  const line = ([x, y]: readonly [number, number], angle: number) => {
    const [dx, dy] = [Math.cos(angle) * 1500, Math.sin(angle) * 1500];
    return `M${Math.round(x - dx)} ${Math.round(y - dy)}L${Math.round(x + dx)} ${Math.round(y + dy)}`;
  };
  return (
    <svg class="rhumbs" viewBox="0 0 1100 600" preserveAspectRatio="xMidYMid slice" aria-hidden="true">
      {roses.map((rose) => (
        <g key={rose.join()}>
          <path d={rays.map((angle) => line(rose, angle)).join("")} />
          <circle cx={rose[0]} cy={rose[1]} r="46" />
          <circle cx={rose[0]} cy={rose[1]} r="3" />
        </g>
      ))}
    </svg>
  );
}
