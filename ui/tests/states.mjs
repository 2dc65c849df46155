// @ts-check
// The app's state in the cases that look different on the page. The app can reach every one of
// them. Plain JavaScript, because Node runs it too; the types keep it true to the app.

/**
 * @import {
 *   AppState, Devices, ErrorCode, InCall, IncomingCall, Invitation, Mismatch, NearbyState, Partner,
 *   Problem, ProblemPlace, Screen, Search, ServerState, Settings, StrangerState, WordsState,
 * } from "../src/generated/contract"
 */

export const NOW = Date.UTC(2026, 0, 15, 20, 30, 0);

/** @type {Settings} */
export const SETTINGS = {
  name: "Robin",
  serverUrl: "wss://chat.example.org/ws",
  camera: null,
  microphone: "mic-2",
  speaker: null,
  cameraEnabled: true,
  muted: false,
  welcomed: true,
  age: null,
  location: "",
  rulesAccepted: true,
  strangerCamera: true,
  strangerMuted: false,
  strangerRelay: true,
  strangerDirect: [],
  interests: [],
  ringSpeaker: null,
  ringVolume: 80,
  caFile: null,
  alwaysNearby: false,
  singleKeyShortcuts: true,
  videoSize: "720p",
  codec: "h264",
  maxBitrateKbps: 2500,
  theme: "system",
  noiseSuppression: true,
  echoCancellation: true,
  autoGain: false,
};

/** @type {Devices} */
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

/** @type {Partner} */
export const PARTNER = { name: "Amara", age: 29, location: "Lisbon", picture: null };

/**
 * A hostile partner's profile: markup, text that changes direction, stacked marks, endless text.
 *
 * @type {Partner & { name: string, location: string, picture: string }}
 */
export const HOSTILE = {
  name: `<img src=x onerror="window.hacked=1"><b>\u202Egnirts\u0000\u0007 zalgo${"\u0301".repeat(60)}`,
  age: 29,
  location: `</p><script>window.hacked=1</script>\u202E${"w".repeat(400)}`,
  picture: "https://example.invalid/track.png",
};

/** @type {ServerState} */
export const SERVER = {
  status: "connected",
  name: "chat.example.org",
  cause: null,
  exposed: false,
};

/** @type {Extract<Invitation, { status: "ready" }>} */
const INVITE = {
  status: "ready",
  code: "7-garden-lantern",
  appLink: "tandem://join/chat.example.org/7#garden-lantern",
  webLink: "https://chat.example.org/j/7#garden-lantern",
  server: "chat.example.org",
  replaced: false,
};

/** @type {IncomingCall} */
const INCOMING = { id: 40, name: "Amara", picture: null, kind: "invited", byInvite: true };

/** @type {NearbyState} */
const NEARBY_OFF = {
  status: "off",
  open: false,
  people: [],
  reach: "unknown",
  addresses: [],
  link: null,
};

/** @type {NearbyState} */
const NEARBY = {
  status: "on",
  open: true,
  people: [
    { id: "1f3a5b7c9d2e4f60", name: "Amara" },
    { id: "2f3a5b7c9d2e4f60", name: null },
  ],
  reach: "heard",
  addresses: ["192.168.1.20"],
  link: "tandem://nearby/192.168.1.20:9010",
};

/**
 * The home screen, with the camera on.
 *
 * @param {Partial<AppState>} change
 * @returns {AppState}
 */
export function state(change = {}) {
  return {
    revision: 1,
    screen: { kind: "lobby" },
    settings: SETTINGS,
    picture: null,
    codecs: ["h264", "vp8"],
    devices: DEVICES,
    preview: { status: "on" },
    server: SERVER,
    token: null,
    host: { status: "off", addresses: [] },
    nearby: NEARBY_OFF,
    invitation: null,
    incoming: null,
    opened: null,
    recents: [],
    stranger: null,
    confirmClose: false,
    problems: [],
    ...change,
  };
}

/** @type {[string, string, string, string]} */
export const SAFETY_WORDS = ["garden", "lantern", "kayak", "otter"];

/** @type {WordsState} */
const READY = { status: "ready", words: SAFETY_WORDS };

/**
 * The screen of a call in which all is well.
 *
 * @param {Partial<InCall>} change
 * @returns {{ kind: "inCall" } & InCall}
 */
export function call(change = {}) {
  return {
    kind: "inCall",
    partner: PARTNER,
    connectedAtMs: NOW - 754_000,
    route: "direct",
    encrypted: true,
    verification: { badge: "notVerified", words: READY, byInvite: null },
    quality: 3,
    muted: false,
    cameraOn: true,
    sendsVideo: true,
    partnerMuted: false,
    partnerCameraOff: false,
    partnerRefusesAudio: false,
    partnerRefusesVideo: false,
    reconnectingUntilMs: null,
    partnerServerLost: false,
    known: false,
    serverLost: false,
    ...change,
  };
}

/**
 * From the search to the end of a call, the home screen's preview is off.
 *
 * @param {Screen} screen
 * @param {Partial<AppState>} change
 */
const outsideLobby = (screen, change = {}) =>
  state({ preview: { status: "off" }, screen, ...change });
/**
 * @param {number} id
 * @param {ErrorCode} code
 * @param {ProblemPlace} place
 * @param {string | null} detail
 * @returns {Problem}
 */
const problem = (id, code, place, detail = null) => ({ id, code, place, detail });
/** @type {Partial<AppState>} */
const unreachable = {
  server: { ...SERVER, status: "unreachable", cause: "SIGNALING_UNREACHABLE" },
};
/** @type {Search} */
const anyone = { kind: "anyone" };
/** @type {Search} */
const garden = { kind: "room", code: "garden-42", server: null, invited: false };
/** @type {Search} */
const amara = { kind: "person", name: "Amara" };

/** @type {StrangerState} */
export const STRANGER = {
  id: 60,
  shown: true,
  interests: ["chess", "sailing"],
  report: "none",
  block: "none",
};

/** @type {Extract<Screen, { kind: "connecting" }>} */
const connecting = {
  kind: "connecting",
  partner: PARTNER,
  step: "checking",
  startedAtMs: NOW - 2_000,
  timedOut: false,
  canRetry: true,
  problem: null,
};

/**
 * The end of a call in which something did not match.
 *
 * @param {Mismatch} mismatch
 * @returns {Extract<Screen, { kind: "ended" }>}
 */
const mismatched = (mismatch) => ({
  kind: "ended",
  reason: "CODE_MISMATCH",
  cause: null,
  problem: null,
  mismatch,
  durationMs: null,
  name: "Amara",
  otherServer: null,
  asksDirectAt: null,
  again: null,
});

/** @type {Record<string, AppState>} */
export const STATES = {
  lobby: state(),
  welcome: state({
    settings: { ...SETTINGS, serverUrl: null, welcomed: false },
    server: { status: "idle", name: null, cause: null, exposed: false },
  }),
  "lobby-invite": state({ invitation: INVITE }),
  "lobby-ringing": state({ invitation: INVITE, incoming: INCOMING }),
  "lobby-ringing-not-invited": state({
    invitation: INVITE,
    incoming: { ...INCOMING, kind: "known", byInvite: false },
  }),
  "lobby-recents": state({
    recents: [
      { id: 50, name: "Amara", atMs: NOW - 3_600_000 },
      { id: 51, name: null, atMs: NOW - 26 * 3_600_000 },
    ],
  }),
  "lobby-opened": state({
    opened: {
      code: "7-garden-lantern",
      server: "meet.example.net",
      otherServer: true,
      exposed: false,
    },
  }),
  "lobby-opened-exposed": state({
    opened: { code: "7-garden-lantern", server: "9.9.9.9", otherServer: true, exposed: true },
  }),
  "lobby-opened-no-server": state({
    settings: { ...SETTINGS, serverUrl: null },
    server: { status: "idle", name: null, cause: null, exposed: false },
    opened: { code: "7-garden-lantern", server: null, otherServer: false, exposed: false },
  }),
  "settings-access": state({
    settings: { ...SETTINGS, caFile: "/etc/ssl/example-school-authority.pem" },
    token: { server: "chat.example.org", inUse: true, thisRunOnly: false },
    problems: [problem(1, "CA_FILE_INVALID", "access", "there is no certificate in it")],
  }),
  // A token for the server before, which the new one does not get.
  "settings-token": state({
    server: { ...SERVER, status: "unreachable", cause: "SIGNALING_TOKEN_NEEDED" },
    token: { server: "meet.example.net", inUse: false, thisRunOnly: false },
  }),
  "lobby-unreachable": state(unreachable),
  "lobby-camera-off": state({
    preview: { status: "off" },
    settings: { ...SETTINGS, cameraEnabled: false },
  }),
  "lobby-starting": state({ preview: { status: "starting" } }),
  // After a search that could not reach the server, and an attempt to host.
  "lobby-problems": state({
    ...unreachable,
    preview: { status: "failed" },
    host: { status: "failed", addresses: [] },
    problems: [
      problem(1, "CAM_IN_USE", "camera"),
      problem(2, "MIC_UNPLUGGED", "microphone"),
      problem(3, "RELAY_NOT_STARTED", "host"),
      problem(4, "SETTINGS_NOT_SAVED", "settings"),
    ],
  }),
  "lobby-hosting": state({
    host: {
      status: "on",
      addresses: ["ws://192.168.1.20:9000/ws", "ws://[fd00::1a2b:3c4d:5e6f:7a8b]:9000/ws"],
    },
  }),
  "lobby-nearby": state({ nearby: NEARBY }),
  "lobby-nearby-nobody": state({ nearby: { ...NEARBY, people: [], reach: "unknown" } }),
  "lobby-nearby-silent": state({
    nearby: {
      ...NEARBY,
      people: [],
      reach: "silent",
      addresses: ["192.168.1.20:40123", "169.254.3.4:40123"],
    },
  }),
  "lobby-nearby-ringing": state({
    nearby: NEARBY,
    incoming: { ...INCOMING, kind: "nearby", byInvite: false },
  }),
  "lobby-no-devices": state({
    preview: { status: "failed" },
    devices: { cameras: [], microphones: [], speakers: [] },
    settings: { ...SETTINGS, microphone: null },
    problems: [problem(1, "CAM_NOT_FOUND", "camera"), problem(2, "MIC_NOT_FOUND", "microphone")],
  }),
  waiting: outsideLobby({
    kind: "waiting",
    search: anyone,
    ringing: false,
    startedAtMs: NOW - 12_000,
    sendsVideo: true,
  }),
  "waiting-room": outsideLobby({
    kind: "waiting",
    search: garden,
    ringing: false,
    startedAtMs: NOW - 73_000,
    sendsVideo: true,
  }),
  "waiting-invite": outsideLobby({
    kind: "waiting",
    search: { kind: "room", code: "7-garden-lantern", server: "meet.example.net", invited: true },
    ringing: true,
    startedAtMs: NOW - 7_000,
    sendsVideo: true,
  }),
  "waiting-guest": outsideLobby({
    kind: "waiting",
    search: { kind: "room", code: "7-garden-lantern", server: null, invited: true },
    ringing: false,
    startedAtMs: NOW - 7_000,
    sendsVideo: true,
  }),
  "waiting-ringing": outsideLobby({
    kind: "waiting",
    search: amara,
    ringing: true,
    startedAtMs: NOW - 7_000,
    sendsVideo: true,
  }),
  "waiting-server-lost": outsideLobby(
    {
      kind: "waiting",
      search: anyone,
      ringing: false,
      startedAtMs: NOW - 31_000,
      sendsVideo: true,
    },
    unreachable,
  ),
  "waiting-camera-off": outsideLobby(
    {
      kind: "waiting",
      search: anyone,
      ringing: false,
      startedAtMs: NOW - 12_000,
      sendsVideo: true,
    },
    { settings: { ...SETTINGS, strangerCamera: false, strangerMuted: true } },
  ),
  connecting: outsideLobby(connecting),
  "connecting-stranger": outsideLobby(connecting, { stranger: { ...STRANGER, shown: false } }),
  "connecting-timed-out": outsideLobby({
    ...connecting,
    startedAtMs: NOW - 11_000,
    timedOut: true,
  }),
  "in-call": outsideLobby(call(), { stranger: STRANGER }),
  "in-call-reported": outsideLobby(call(), { stranger: { ...STRANGER, report: "sent" } }),
  "in-call-closing": outsideLobby(call({ known: true }), { confirmClose: true }),
  "in-call-muted": outsideLobby(
    call({ muted: true, cameraOn: false, quality: 2, route: "relayed", partnerMuted: true }),
    { settings: { ...SETTINGS, cameraEnabled: false } },
  ),
  "in-call-camera-off": outsideLobby(call({ partnerCameraOff: true, quality: 1 })),
  "in-call-reconnecting": outsideLobby(
    call({ reconnectingUntilMs: NOW + 30_000, serverLost: true, quality: 1 }),
    unreachable,
  ),
  "in-call-problem": outsideLobby(call({ sendsVideo: false }), {
    problems: [problem(1, "CAM_UNPLUGGED", "camera")],
  }),
  "in-call-anonymous": outsideLobby(
    call({
      partner: { name: null, age: null, location: "Unknown", picture: null },
      partnerCameraOff: true,
    }),
  ),
  "in-call-verified-by-code": outsideLobby(
    call({
      known: true,
      verification: { badge: "verifiedByCode", words: { status: "byCode" }, byInvite: "inviter" },
    }),
  ),
  "in-call-verified-by-user": outsideLobby(
    call({ verification: { badge: "verifiedByUser", words: READY, byInvite: null } }),
  ),
  "in-call-hostile": outsideLobby(call({ partner: HOSTILE, partnerCameraOff: true })),
  ended: outsideLobby({
    kind: "ended",
    reason: "PARTNER_LEFT",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: 754_000,
    name: "Amara",
    otherServer: null,
    asksDirectAt: null,
    again: anyone,
  }),
  "ended-stranger": outsideLobby(
    {
      kind: "ended",
      reason: "HUNG_UP",
      cause: null,
      problem: null,
      mismatch: null,
      durationMs: 754_000,
      name: "Amara",
      otherServer: null,
      asksDirectAt: null,
      again: anyone,
    },
    { stranger: { ...STRANGER, report: "sent", block: "blocked" } },
  ),
  "ended-ask-direct": outsideLobby({
    kind: "ended",
    reason: "NO_TURN_SERVER",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: null,
    name: null,
    otherServer: null,
    asksDirectAt: "wss://chat.example.org:443",
    again: anyone,
  }),
  "ended-room": outsideLobby({
    kind: "ended",
    reason: "HUNG_UP",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: 3_723_000,
    name: "Amara",
    otherServer: null,
    asksDirectAt: null,
    again: garden,
  }),
  "ended-ringing": outsideLobby(
    {
      kind: "ended",
      reason: "HUNG_UP",
      cause: null,
      problem: null,
      mismatch: null,
      durationMs: 61_000,
      name: "Amara",
      otherServer: null,
      asksDirectAt: null,
      again: amara,
    },
    { incoming: { ...INCOMING, kind: "known", byInvite: false } },
  ),
  "ended-away": outsideLobby({
    kind: "ended",
    reason: "NO_SUCH_ROOM",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: null,
    name: null,
    otherServer: null,
    asksDirectAt: null,
    again: amara,
  }),
  "ended-nearby-away": outsideLobby({
    kind: "ended",
    reason: "RELAY_UNREACHABLE",
    cause: "SIGNALING_UNREACHABLE",
    problem: null,
    mismatch: null,
    durationMs: null,
    name: null,
    otherServer: "192.168.1.7:9010",
    asksDirectAt: null,
    again: { kind: "nearby", name: "Amara" },
  }),
  "ended-nearby-busy": outsideLobby({
    kind: "ended",
    reason: "NO_SUCH_ROOM",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: null,
    name: null,
    otherServer: "192.168.1.7:9010",
    asksDirectAt: null,
    again: { kind: "nearby", name: "Amara" },
  }),
  "ended-invite-used": outsideLobby({
    kind: "ended",
    reason: "PARTNER_LEFT",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: 61_000,
    name: "Amara",
    otherServer: null,
    asksDirectAt: null,
    again: null,
  }),
  "ended-mismatch-words": outsideLobby({
    ...mismatched("safetyWords"),
    durationMs: 61_000,
    again: anyone,
  }),
  "ended-mismatch-partners-words": outsideLobby({
    ...mismatched("partnersSafetyWords"),
    durationMs: 61_000,
    again: anyone,
  }),
  "ended-mismatch-invite": outsideLobby(mismatched("invite"), { invitation: INVITE }),
  "ended-mismatch-invite-spent": outsideLobby(mismatched("spentInvite")),
  "lobby-invite-spent": state({ problems: [problem(1, "INVITE_SPENT", "invite")] }),
  "ended-mismatch-code": outsideLobby(mismatched("code")),
  "ended-mismatch-code-spent": outsideLobby(mismatched("spentCode")),
  "ended-fault": outsideLobby({
    kind: "ended",
    reason: "CONNECTION_FAILED",
    cause: null,
    problem: null,
    mismatch: null,
    durationMs: null,
    name: null,
    otherServer: null,
    asksDirectAt: null,
    again: anyone,
  }),
  "ended-server": outsideLobby(
    {
      kind: "ended",
      reason: "RELAY_UNREACHABLE",
      cause: "SIGNALING_UNREACHABLE",
      problem: null,
      mismatch: null,
      durationMs: null,
      name: null,
      otherServer: null,
      asksDirectAt: null,
      again: anyone,
    },
    unreachable,
  ),
};
