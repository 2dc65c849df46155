// The part of the signaling protocol that a guest speaks: docs/protocol.md.

/** The `id`s of the requests that the server may refuse. */
export const KNOCK_ID = "knock";
export const RESUME_ID = "resume";

/** A message to the server. */
export type ClientMessage =
  | { type: "find_partner"; userName?: string; room: string; mustExist: true; id: string }
  | { type: "webrtc_offer"; to: string; offer: Described }
  | { type: "webrtc_answer"; to: string; answer: Described }
  | { type: "ice_candidate"; to: string; candidate: Candidate | { pake: unknown } | null }
  | { type: "end_session"; sessionId: string }
  | { type: "get_ice_servers" }
  | { type: "resume"; resumeToken: string; lastSeq: number; id: string }
  | { type: "ping"; t: number }
  | { type: "bye" };

/** A description with a move of the handshake, and the numbers of its connection and its offer, beside it. */
type Described = RTCSessionDescriptionInit & {
  pake?: unknown;
  connection?: number;
  round?: number;
};
type Candidate = RTCIceCandidateInit & { connection?: number };

/**
 * What the partner sent through the server, or what is sent to it. `connection` is the number of the peer
 * connection; who sends none with a description takes no fresh one. `round` is the number of an offer on
 * it, which the answer repeats.
 */
export type Signal =
  | {
      kind: "description";
      description: RTCSessionDescriptionInit;
      pake?: unknown;
      connection?: number;
      round?: number;
    }
  /** A move of the handshake that no description carries. */
  | { kind: "pake"; pake: unknown }
  /** `null`: there are no more. */
  | { kind: "candidate"; candidate: RTCIceCandidateInit | null; connection?: number };

export interface Registered {
  type: "user_registered";
  resumeToken: string;
  heartbeatMs: number;
  silentMs: number;
  iceServers: RTCIceServer[];
}

export interface Found {
  type: "partner_found";
  sessionId: string;
  socketId: string;
  userName: string;
  userPicture: string | null;
  initiator: boolean;
  /** For this call; `null`: those of the registration are for any call. */
  iceServers: RTCIceServer[] | null;
  /** How long their credentials are valid, in s. */
  iceServersTtl: number | null;
}

/** A message from the server, as far as a guest needs it. */
export type ServerMessage =
  | Registered
  | Found
  | { type: "searching"; ringing: boolean }
  | { type: "ice_servers"; iceServers: RTCIceServer[]; ttl: number }
  | { type: "signal"; signal: Signal; sessionId: string; seq: number }
  | { type: "partner_left"; sessionId: string; reason: string }
  | { type: "partner_reconnecting" | "partner_resumed"; sessionId: string }
  | { type: "resumed"; sessionId: string | null }
  | { type: "error"; code: string; id: string | null }
  /** Anything else: a sign of life. */
  | { type: "other" };

/** The message that passes `signal` on to the partner `to`. */
export function messageOf(signal: Signal, to: string): ClientMessage {
  if (signal.kind === "candidate") {
    const { candidate, connection } = signal;
    const isNumbered = candidate !== null && connection !== undefined;
    const sent = isNumbered ? { ...candidate, connection } : candidate;
    return { type: "ice_candidate", to, candidate: sent };
  }
  if (signal.kind === "pake") {
    return { type: "ice_candidate", to, candidate: { pake: signal.pake } };
  }

  const { description, pake, connection, round } = signal;
  const described = {
    ...description,
    ...(pake !== undefined && { pake }),
    ...(connection !== undefined && { connection }),
    ...(round !== undefined && { round }),
  };
  return description.type === "offer"
    ? { type: "webrtc_offer", to, offer: described }
    : { type: "webrtc_answer", to, answer: described };
}

type Fields = Record<string, unknown>;

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const number = (value: unknown): number =>
  typeof value === "number" && Number.isFinite(value) ? value : 0;
const fields = (value: unknown): Fields | null =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;

/** Reads a message. What this version doesn't know, or can't read, is `other`. */
export function parseMessage(data: unknown): ServerMessage {
  const message = typeof data === "string" ? fields(parseJson(data)) : null;
  return (message && known(message)) ?? { type: "other" };
}

function parseJson(data: string): unknown {
  try {
    return JSON.parse(data) as unknown;
  } catch {
    return null;
  }
}

function known(message: Fields): ServerMessage | null {
  const sessionId = text(message.sessionId);
  switch (message.type) {
    case "user_registered":
      return {
        type: "user_registered",
        resumeToken: text(message.resumeToken),
        heartbeatMs: number(message.heartbeatMs),
        silentMs: number(message.silentMs),
        iceServers: iceServers(message.iceServers),
      };
    case "searching":
      return { type: "searching", ringing: message.ringing === true };
    case "partner_found":
      return {
        type: "partner_found",
        sessionId,
        socketId: text(message.socketId),
        userName: text(message.userName),
        userPicture: text(message.userPicture) || null,
        initiator: message.initiator === true,
        iceServers: Array.isArray(message.iceServers) ? iceServers(message.iceServers) : null,
        iceServersTtl: typeof message.iceServersTtl === "number" ? message.iceServersTtl : null,
      };
    case "ice_servers":
      return {
        type: "ice_servers",
        iceServers: iceServers(message.iceServers),
        ttl: number(message.ttl),
      };
    case "webrtc_offer":
      return signal(message, description("offer", message.offer));
    case "webrtc_answer":
      return signal(message, description("answer", message.answer));
    case "ice_candidate":
      return signal(message, candidate(message.candidate));
    case "partner_left":
      return { type: "partner_left", sessionId, reason: text(message.reason) };
    case "partner_reconnecting":
    case "partner_resumed":
      return { type: message.type, sessionId };
    case "resumed":
      return { type: "resumed", sessionId: sessionId || null };
    case "error":
      return { type: "error", code: text(message.code), id: text(message.id) || null };
    default:
      return null;
  }
}

/** The partner may have put anything into the payload: what is not a signal counts as none. */
function signal(message: Fields, payload: Signal | null): ServerMessage {
  const content = payload ?? { kind: "candidate", candidate: null };
  return {
    type: "signal",
    signal: content,
    sessionId: text(message.sessionId),
    seq: number(message.seq),
  };
}

function description(type: "offer" | "answer", value: unknown): Signal | null {
  const { sdp, pake, connection, round } = fields(value) ?? {};
  if (typeof sdp !== "string") return null;
  const numbers = { ...numbered("connection", connection), ...numbered("round", round) };
  return { kind: "description", description: { type, sdp }, pake, ...numbers };
}

/** The number of a peer connection or of an offer, if it is one. */
function numbered(
  name: "connection" | "round",
  value: unknown,
): Partial<Record<typeof name, number>> {
  const isNumber = typeof value === "number" && Number.isInteger(value);
  return isNumber && value >= 0 && value < 2 ** 32 ? { [name]: value } : {};
}

function candidate(value: unknown): Signal | null {
  const from = fields(value);
  if (from && (from.pake ?? null) !== null) return { kind: "pake", pake: from.pake };
  if (!from || typeof from.candidate !== "string") return null;

  const { candidate: line, sdpMid, sdpMLineIndex, usernameFragment } = from;
  const init: RTCIceCandidateInit = { candidate: line };
  if (typeof sdpMid === "string") init.sdpMid = sdpMid;
  if (typeof sdpMLineIndex === "number") init.sdpMLineIndex = sdpMLineIndex;
  if (typeof usernameFragment === "string") init.usernameFragment = usernameFragment;
  return { kind: "candidate", candidate: init, ...numbered("connection", from.connection) };
}

function iceServers(value: unknown): RTCIceServer[] {
  const list: unknown[] = Array.isArray(value) ? value : [];
  return list.flatMap((entry) => {
    const server = fields(entry);
    const urls = [server?.urls].flat().filter((url) => typeof url === "string");
    if (!server || urls.length === 0) return [];
    const { username, credential } = server;
    return typeof username === "string" && typeof credential === "string"
      ? [{ urls, username, credential }]
      : [{ urls }];
  });
}
