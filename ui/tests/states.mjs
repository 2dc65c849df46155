// States of the app, one for each thing that a screen can show.

export const NOW = Date.UTC(2026, 0, 15, 20, 30, 0);

export const SETTINGS = {
  name: "Robin",
  relayUrl: "ws://127.0.0.1:9000/ws",
  camera: null,
  microphone: "mic-2",
  speaker: null,
  cameraEnabled: true,
  theme: "system",
  noiseSuppression: true,
  echoCancellation: true,
  autoGain: false,
};

export const DEVICES = {
  cameras: [
    { id: "cam-1", name: "Integrated Camera" },
    { id: "cam-2", name: "Logitech BRIO" },
  ],
  microphones: [
    { id: "mic-1", name: "Built-in Audio Analog Stereo" },
    { id: "mic-2", name: "Yeti Nano" },
  ],
  speakers: [{ id: "spk-1", name: "Built-in Audio Analog Stereo" }],
};

export const PARTNER = { name: "Amara", age: 29, location: "Lisbon", picture: null };

/** What a partner may send who means no good: markup, a turned direction, marks upon marks, and no end. */
export const HOSTILE = {
  name: `<img src=x onerror="window.hacked=1"><b>\u202Egnirts\u0000\u0007 zalgo${"\u0301".repeat(60)}`,
  age: 29,
  location: `</p><script>window.hacked=1</script>\u202E${"w".repeat(400)}`,
  picture: "https://example.invalid/track.png",
};

export function state(change = {}) {
  return {
    revision: 1,
    screen: { kind: "lobby" },
    settings: SETTINGS,
    devices: DEVICES,
    preview: { status: "on" },
    relay: { status: "idle" },
    host: { status: "off", addresses: [] },
    problems: [],
    ...change,
  };
}

export function call(change = {}) {
  return {
    kind: "inCall",
    partner: PARTNER,
    connectedAtMs: NOW - 754_000,
    route: "direct",
    encrypted: true,
    quality: 3,
    muted: false,
    cameraOn: true,
    sendsVideo: true,
    partnerMuted: false,
    partnerCameraOff: false,
    partnerReconnecting: false,
    relayLost: false,
    ...change,
  };
}

const connected = { relay: { status: "connected" }, preview: { status: "off" } };
const connecting = {
  kind: "connecting",
  partner: PARTNER,
  step: "checking",
  startedAtMs: NOW - 2_000,
  timedOut: false,
};
const problem = (id, code, place, detail = null) => ({ id, code, place, detail });

/** Every screen in every state that looks different. */
export const STATES = {
  lobby: state(),
  "lobby-camera-off": state({ preview: { status: "off" }, settings: { ...SETTINGS, cameraEnabled: false } }),
  "lobby-starting": state({ preview: { status: "starting" }, relay: { status: "connecting" } }),
  "lobby-problems": state({
    preview: { status: "failed" },
    relay: { status: "unreachable" },
    problems: [
      problem(1, "CAM_IN_USE", "camera"),
      problem(2, "MIC_UNPLUGGED", "microphone"),
      problem(3, "SIGNALING_UNREACHABLE", "relay"),
      problem(4, "BAD_ROOM", "room"),
    ],
  }),
  "lobby-hosting": state({
    relay: { status: "connected" },
    host: { status: "on", addresses: ["ws://192.168.1.20:9000/ws", "ws://[fd00::1a2b:3c4d:5e6f:7a8b]:9000/ws"] },
  }),
  "lobby-no-devices": state({
    preview: { status: "off" },
    devices: { cameras: [], microphones: [], speakers: [] },
    settings: { ...SETTINGS, microphone: null },
    problems: [problem(1, "CAM_NOT_FOUND", "camera"), problem(2, "MIC_NOT_FOUND", "microphone")],
  }),
  waiting: state({ ...connected, screen: { kind: "waiting", room: null, startedAtMs: NOW - 12_000 } }),
  "waiting-room": state({ ...connected, screen: { kind: "waiting", room: "garden-42", startedAtMs: NOW - 73_000 } }),
  "waiting-relay-lost": state({
    relay: { status: "unreachable" },
    screen: { kind: "waiting", room: null, startedAtMs: NOW - 31_000 },
    problems: [problem(1, "SIGNALING_BROKEN", "relay")],
  }),
  connecting: state({ ...connected, screen: connecting }),
  "connecting-timed-out": state({
    ...connected,
    screen: { ...connecting, startedAtMs: NOW - 11_000, timedOut: true },
  }),
  "in-call": state({ ...connected, screen: call() }),
  "in-call-muted": state({
    ...connected,
    screen: call({ muted: true, cameraOn: false, quality: 2, route: "relayed", partnerMuted: true }),
  }),
  "in-call-camera-off": state({ ...connected, screen: call({ partnerCameraOff: true, quality: 1 }) }),
  "in-call-reconnecting": state({
    relay: { status: "unreachable" },
    screen: call({ partnerReconnecting: true, relayLost: true, quality: 1 }),
  }),
  "in-call-problem": state({
    ...connected,
    screen: call({ sendsVideo: false }),
    problems: [problem(1, "CAM_UNPLUGGED", "camera")],
  }),
  "in-call-hostile": state({ ...connected, screen: call({ partner: HOSTILE, partnerCameraOff: true }) }),
  ended: state({ ...connected, screen: { kind: "ended", reason: "PARTNER_LEFT", durationMs: 754_000, room: null } }),
  "ended-room": state({
    ...connected,
    screen: { kind: "ended", reason: "HUNG_UP", durationMs: 3_723_000, room: "garden-42" },
  }),
  "ended-fault": state({
    ...connected,
    screen: { kind: "ended", reason: "CONNECTION_FAILED", durationMs: null, room: null },
  }),
};
