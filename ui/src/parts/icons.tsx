// Line icons, drawn for Tandem on a grid of 24.

const PATHS = {
  camera: [
    "M3 8.5A2.5 2.5 0 0 1 5.5 6h7A2.5 2.5 0 0 1 15 8.5v7a2.5 2.5 0 0 1-2.5 2.5h-7A2.5 2.5 0 0 1 3 15.5z",
    "m15 10.5 6-3.5v10l-6-3.5z",
  ],
  cameraOff: [
    "M8.5 6h4A2.5 2.5 0 0 1 15 8.5v4",
    "M15 15.5a2.5 2.5 0 0 1-2.5 2.5h-7A2.5 2.5 0 0 1 3 15.5v-7c0-.9.5-1.7 1.2-2.1",
    "m15 10.5 6-3.5v10l-2.6-1.5",
    "m3 3 18 18",
  ],
  microphone: [
    "M12 3a3 3 0 0 1 3 3v6a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3z",
    "M5.5 11.5a6.5 6.5 0 0 0 13 0",
    "M12 18v3",
  ],
  microphoneOff: [
    "M9 5.9A3 3 0 0 1 15 6v5",
    "M14 14.2A3 3 0 0 1 9 12V9",
    "M5.5 11.5A6.5 6.5 0 0 0 16 16.6",
    "M18.3 13a6.5 6.5 0 0 0 .2-1.5",
    "M12 18v3",
    "m3 3 18 18",
  ],
  speaker: [
    "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z",
    "M15.5 9a4.2 4.2 0 0 1 0 6",
    "M18 6.5a7.8 7.8 0 0 1 0 11",
  ],
  next: ["M5 6.5v11l7-5.5z", "M13 6.5v11l7-5.5z"],
  hangUp: [
    "M2.2 14.6c-.8-1.2-.6-2.8.5-3.8a14.2 14.2 0 0 1 18.6 0c1.1 1 1.3 2.6.5 3.8l-.9 1.3c-.5.7-1.4 1-2.2.7l-2.4-.9c-.8-.3-1.3-1.1-1.2-1.9l.1-1.7a10.2 10.2 0 0 0-6.4 0l.1 1.7c.1.8-.4 1.6-1.2 1.9l-2.4.9c-.8.3-1.7 0-2.2-.7z",
  ],
  settings: [
    "M4 7h9",
    "M18 7h2",
    "M15.5 4.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 1 0 0-5z",
    "M4 17h2",
    "M11 17h9",
    "M8.5 14.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 1 0 0-5z",
  ],
  close: ["m6 6 12 12", "M18 6 6 18"],
  shield: ["M12 3.5 5 6v5.5c0 4.3 2.8 7.4 7 9 4.2-1.6 7-4.7 7-9V6z", "m8.8 12 2.3 2.3 4.2-4.4"],
  lock: ["M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"],
  direct: ["M4 12h16", "m8 8-4 4 4 4", "m16 8 4 4-4 4"],
  relayed: ["M4 16c0-4 3-4 4-4h8c1 0 4 0 4-4", "M12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 1 0 0-5z"],
  flag: ["M6 21V4", "M6 4.5c4-2 7 2 12 0v9c-5 2-8-2-12 0"],
  block: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17z", "m6 6 12 12"],
  refresh: ["M19 12a7 7 0 1 1-2.1-5", "M19.5 3.5V8H15"],
  warning: ["M12 4 2.8 19.5h18.4z", "M12 10v4.5", "M12 17.2v.1"],
  network: [
    "M12 5.5a2 2 0 1 0 0-.1z",
    "M5.5 19a2 2 0 1 0 0-.1z",
    "M18.5 19a2 2 0 1 0 0-.1z",
    "M12 7.5v4",
    "M5.5 17v-2.5c0-1.7 1.3-3 3-3h7c1.7 0 3 1.3 3 3V17",
  ],
  search: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 1 0 0-13z", "m15.5 15.5 5 5"],
  fullScreen: ["M4 9V4h5", "M20 9V4h-5", "M4 15v5h5", "M20 15v5h-5"],
  home: ["M4 11.5 12 5l8 6.5", "M6 10v9h12v-9"],
  person: ["M12 4a4 4 0 1 0 0 8 4 4 0 1 0 0-8z", "M4.5 20c.8-4 3.9-6 7.5-6s6.7 2 7.5 6"],
  key: ["M8 8.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 1 0 0-7z", "M11.5 12H21v3", "M17 12v2.5"],
  check: ["m5 12.5 4.5 4.5L19 7"],
  info: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17z", "M12 11v5.5", "M12 7.6v.1"],
  copy: [
    "M10.5 8.5h8a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5h-8A1.5 1.5 0 0 1 9 19v-9a1.5 1.5 0 0 1 1.5-1.5z",
    "M5.5 15.5A1.5 1.5 0 0 1 4 14V5a1.5 1.5 0 0 1 1.5-1.5h8A1.5 1.5 0 0 1 15 5",
  ],
  phone: [
    "M5 4h3.6l1.6 4.2-2.1 1.5a12.4 12.4 0 0 0 6.2 6.2l1.5-2.1 4.2 1.6V19a1.8 1.8 0 0 1-1.9 1.8A15.6 15.6 0 0 1 3.2 5.9 1.8 1.8 0 0 1 5 4z",
  ],
  link: [
    "M10.2 13.8a3.9 3.9 0 0 0 5.5 0l3.1-3.1a3.9 3.9 0 0 0-5.5-5.5l-1.1 1.1",
    "M13.8 10.2a3.9 3.9 0 0 0-5.5 0l-3.1 3.1a3.9 3.9 0 0 0 5.5 5.5l1.1-1.1",
  ],
} as const;

export type IconName = keyof typeof PATHS;

/** Decoration: the words beside it, or a label, say what it means. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {PATHS[name].map((d) => (
        <path key={d} d={d} />
      ))}
    </svg>
  );
}

/** One to three lit bars of three. */
export function Bars({ quality }: { quality: 1 | 2 | 3 }) {
  return (
    <svg class="icon bars" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      {[1, 2, 3].map((bar) => (
        <rect
          key={bar}
          x={3 + (bar - 1) * 7}
          y={19 - bar * 4.6}
          width={4}
          height={bar * 4.6}
          rx={1.5}
          class={bar <= quality ? "bar lit" : "bar"}
        />
      ))}
    </svg>
  );
}

/** Tandem's mark: two who lean the same way. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <circle class="front" cx={27.5} cy={13} r={7} />
      <path class="front" d="M24 30 15.5 53.5" />
      <circle class="back" cx={47.5} cy={13} r={7} />
      <path class="back" d="M44 30 35.5 53.5" />
    </svg>
  );
}
