// What a guest's call is told, what it wants done, and what the page shows of it.

import type { Verdict } from "./code-check";
import type { ClientMessage, ServerMessage, Signal } from "./protocol";

/** Why a call, or the attempt, is over. */
export type EndReason =
  | "hungUp"
  | "left"
  | "declined"
  | "noAnswer"
  | "unknownCode"
  | "busy"
  | "privateServer"
  | "banned"
  | "kicked"
  | "serverAway"
  | "noRoute"
  | "connectionLost"
  | "codeMismatch"
  | "codeVoid";

/** The other person, as the server names them. */
export interface Person {
  name: string;
  picture: string | null;
}

/** What the page shows of the call. */
export type Phase =
  | { kind: "start" }
  | { kind: "knocking"; ringing: boolean; sinceMs: number }
  | { kind: "connecting"; partner: Person; slow: boolean }
  | {
      kind: "inCall";
      partner: Person;
      connectedAtMs: number;
      partnerMuted: boolean;
      partnerCameraOff: boolean;
      /** No media arrives. */
      reconnecting: boolean;
      /** This side has lost the server. */
      serverLost: boolean;
      partnerServerLost: boolean;
    }
  | { kind: "ended"; reason: EndReason; partner: Person | null; durationMs: number | null };

/** The peer connection: `failed` has found no route, or lost it; `broken` can't be used any more. */
export type PeerState = "connected" | "disconnected" | "failed" | "broken";

export type Input =
  /** The user's clicks. */
  | { type: "knock"; name: string }
  | { type: "leave" }
  | { type: "toStart" }
  /** Too many who did not know the words have tried this link. */
  | { type: "codeVoid" }
  /** The WebSocket. */
  | { type: "received"; message: ServerMessage }
  | { type: "socketClosed"; code?: number }
  /** The peer connection. */
  | { type: "signal"; signal: Signal }
  | { type: "peer"; state: PeerState }
  /** Whether the partner knows the invite's words. */
  | { type: "verdict"; verdict: Verdict }
  /** What the partner had sent before it left has been looked at. */
  | { type: "checkFinished" }
  /** The browser is in another network, or in one again. */
  | { type: "networkChanged" }
  /** Nothing has arrived from the partner for a while, or something has again. */
  | { type: "route"; news: "silent" | "heard" }
  /** The partner's report over the data channel. */
  | { type: "partnerState"; muted: boolean; camera: boolean }
  | { type: "time" };

export type Effect =
  | { type: "connect" }
  | { type: "send"; message: ClientMessage }
  | { type: "disconnect" }
  | { type: "startPeer"; sessionId: string; initiator: boolean; iceServers: RTCIceServer[] }
  /** The next route is looked for with these. */
  | { type: "useServers"; iceServers: RTCIceServer[] }
  /** The partner has not shown in time that they know the words. */
  | { type: "codeTimedOut" }
  /** The partner has left: its last move, which says why, may still wait for its turn. */
  | { type: "finishCheck" }
  | { type: "signalPeer"; signal: Signal }
  /** Looks for another route. `again`: for the same silence, so one offer is enough. */
  | { type: "restartPeer"; again: boolean }
  | { type: "stopPeer" };
