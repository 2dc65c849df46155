// A guest's call, from the knock to its end, without a socket, a peer connection or a clock: inputs
// and the time go in, effects come out. `call.ts` carries them out.

import type { Verdict } from "./code-check";
import { IceServers } from "./ice-servers";
import type { ClientMessage, Found, Registered, ServerMessage, Signal } from "./protocol";
import { canBeSeen } from "../text";

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

/** How long to look for the server before giving up, in ms. */
export const SERVER_TIMEOUT_MS = 15_000;
/** After this time a connection counts as slow, in ms: most take less than a second. */
export const SLOW_MS = 10_000;
/** ICE has tried every route by then, relayed ones included, in ms. */
export const CONNECT_TIMEOUT_MS = 45_000;
/** The partner shows within this time that they know the words, in ms: it takes three messages. */
export const CODE_TIMEOUT_MS = 15_000;
/** A call without media ends after this time, in ms. */
export const LOST_MS = 120_000;
/** The same if the server is out of reach or has dropped the call, in ms. */
export const GONE_MS = 30_000;
/**
 * The server answers within this time, or the way to it is lost, in ms: as long as it took to
 * connect, which is several round trips, but within these bounds.
 */
export const PROBE_MS = [500, 2_000] as const;
/** A silence is shown this long after it was noticed, in ms: many end before. */
export const NOTICE_MS = 1_000;
/** How long one attempt to reach the server may take in a call, in ms: doubled each time, up to the second. */
export const ATTEMPT_MS = [4_000, 16_000] as const;
/** Waits between attempts to reach the server, in ms: doubled up to the second, with full jitter. */
const BACKOFF_MS = [300, 7_000] as const;

/** The close codes of a client that the operator ended: see `docs/protocol.md`. */
const BANNED = 4005;
const KICKED = 4006;

const KNOCK_ID = "knock";
const RESUME_ID = "resume";

/** How a search ends with an error, by its code. */
const REFUSALS = new Map<string, EndReason>([
  ["no_such_room", "unknownCode"],
  ["declined", "declined"],
  ["no_answer", "noAnswer"],
  ["queue_full", "busy"],
  ["rate_limited", "busy"],
]);

/** The other person's, as the server knows the call. */
interface Session {
  id: string;
  socketId: string;
}

type Deadline =
  | "retry"
  | "server"
  | "ping"
  | "silent"
  | "slow"
  | "connect"
  | "code"
  | "lost"
  | "probe"
  | "attempt"
  | "notice";

const NEVER: Record<Deadline, number> = {
  retry: Infinity,
  server: Infinity,
  ping: Infinity,
  silent: Infinity,
  slow: Infinity,
  connect: Infinity,
  code: Infinity,
  lost: Infinity,
  probe: Infinity,
  attempt: Infinity,
  notice: Infinity,
};

export class Machine {
  phase: Phase = { kind: "start" };

  readonly #room: string;
  readonly #random: () => number;
  #effects: Effect[] = [];

  #name = "";
  #isOpen = false;
  #attempts = 0;
  #registered: Registered | null = null;
  /** The token of the connection that broke, until it is sent. */
  #resumeToken: string | null = null;
  #session: Session | null = null;
  #lastSeq = 0;
  /** What the other person reported last. */
  #partner = { muted: false, cameraOff: false };
  /** The last move of the check, which may have been lost with the connection. */
  #lastMove: unknown = null;
  /** Why the other person left before the check was over, as the server says. */
  #left: string | null = null;
  /** The server has lost the other person for good. */
  #partnerGone = false;
  /** The peer connection is not connected. */
  #isDown = false;
  /** Nothing has arrived from the partner for a while, whatever the peer connection says. */
  #isSilent = false;
  /** Since when no media has arrived. */
  #silentSinceMs: number | null = null;
  /** Another route is to be looked for once the server is back. */
  #wantsRoute = false;
  /** Another route has been looked for since the partner was last heard. */
  #hasSearched = false;
  #connectingSinceMs = 0;
  #probeMs: number = PROBE_MS[0];

  readonly #iceServers = new IceServers();
  readonly #deadlines: Record<Deadline, number> = { ...NEVER };

  /** `random` returns a number from 0 to 1. */
  constructor(room: string, random: () => number) {
    this.#room = room;
    this.#random = random;
  }

  /** When to pass a `time`; `Infinity`: not at all. */
  get deadlineMs(): number {
    return Math.min(this.#iceServers.deadlineMs, ...Object.values(this.#deadlines));
  }

  handle(input: Input, nowMs: number): Effect[] {
    this.#tick(nowMs);
    this.#take(input, nowMs);
    return this.#effects.splice(0);
  }

  #take(input: Input, nowMs: number): void {
    const { phase } = this;
    switch (input.type) {
      case "knock":
        if (phase.kind === "start" || phase.kind === "ended") this.#knock(input.name, nowMs);
        return;
      case "leave":
        this.#leave(nowMs);
        return;
      case "toStart":
        if (phase.kind === "ended") this.phase = { kind: "start" };
        return;
      case "codeVoid":
        if (phase.kind === "start" || phase.kind === "ended") this.#end("codeVoid", nowMs);
        return;
      case "verdict":
        this.#deadlines.code = Infinity;
        if (input.verdict === "mismatch" && this.#session) this.#end("codeMismatch", nowMs);
        return;
      case "received":
        if (this.#isOpen) this.#receive(input.message, nowMs);
        return;
      case "socketClosed":
        if (this.#isOpen) this.#socketClosed(input.code, nowMs);
        return;
      case "signal":
        this.#relay(input.signal);
        return;
      case "peer":
        this.#peerChanged(input.state, nowMs);
        return;
      case "networkChanged":
        if (phase.kind === "inCall") this.#networkChanged(nowMs);
        return;
      case "route":
        this.#routeChanged(input.news, nowMs);
        return;
      case "partnerState":
        if (phase.kind !== "inCall" && phase.kind !== "connecting") return;
        this.#partner = { muted: input.muted, cameraOff: !input.camera };
        if (phase.kind === "inCall") this.phase = { ...phase, ...this.#reported() };
        return;
      case "checkFinished":
        if (this.#left !== null) this.#partnerIsOut(this.#left, nowMs);
        return;
      case "time":
        return;
    }
  }

  #reported() {
    return { partnerMuted: this.#partner.muted, partnerCameraOff: this.#partner.cameraOff };
  }

  #knock(name: string, nowMs: number): void {
    this.#name = canBeSeen(name) ? name.trim() : "";
    this.#lastSeq = 0;
    this.#lastMove = null;
    this.#left = null;
    this.#partnerGone = false;
    this.#silentSinceMs = null;
    this.#isDown = false;
    this.#isSilent = false;
    this.#wantsRoute = false;
    this.#hasSearched = false;
    this.#partner = { muted: false, cameraOff: false };
    this.phase = { kind: "knocking", ringing: false, sinceMs: nowMs };
    this.#deadlines.server = nowMs + SERVER_TIMEOUT_MS;
    this.#connect(nowMs);
  }

  #networkChanged(nowMs: number): void {
    // The old connection may lead nowhere: what is written into it would be lost.
    if (this.#isOpen) {
      this.#effects.push({ type: "disconnect" });
      this.#socketLost(nowMs);
    }
    this.#connect(nowMs);
    this.#wantsRoute = true;
    this.#hasSearched = false;
  }

  /**
   * A silent partner may be offline, and then comes back by themselves. If the server answers, this
   * side is not offline; if not, this side may have lost its address.
   */
  #routeChanged(news: "silent" | "heard", nowMs: number): void {
    this.#deadlines.probe = Infinity;
    if (this.phase.kind !== "inCall") return;
    if (news === "heard") {
      this.#isSilent = false;
      // The way that was lost is there again, or another one is.
      this.#wantsRoute = false;
      this.#hasSearched = false;
      this.#deadlines.notice = Infinity;
      this.#showSilence(nowMs);
      return;
    }
    if (!this.#isSilent) this.#deadlines.notice = nowMs + NOTICE_MS;
    if (!this.#canSignal()) return;
    this.#send({ type: "ping", t: Math.round(nowMs) });
    this.#deadlines.probe = nowMs + this.#probeMs;
  }

  #connect(nowMs: number): void {
    const [first, longest] = ATTEMPT_MS;
    const attemptMs = Math.min(longest, first * 2 ** Math.max(0, this.#attempts - 1));
    this.#connectingSinceMs = nowMs;
    this.#deadlines.retry = Infinity;
    this.#deadlines.attempt = this.phase.kind === "inCall" ? nowMs + attemptMs : Infinity;
    this.#isOpen = true;
    this.#effects.push({ type: "connect" });
  }

  #send(message: ClientMessage): void {
    if (this.#isOpen) this.#effects.push({ type: "send", message });
  }

  #receive(message: ServerMessage, nowMs: number): void {
    this.#heard(nowMs);
    if (this.#deadlines.probe !== Infinity) {
      this.#deadlines.probe = Infinity;
      // A partner who is offline comes back by themselves.
      if (this.phase.kind === "inCall" && !this.phase.partnerServerLost) this.#restart();
    }
    switch (message.type) {
      case "user_registered":
        this.#register(message, nowMs);
        return;
      case "searching":
        if (this.phase.kind === "knocking")
          this.phase = { ...this.phase, ringing: message.ringing };
        return;
      case "partner_found":
        if (this.phase.kind === "knocking") this.#found(message, nowMs);
        return;
      case "ice_servers":
        this.#iceServers.fresh(message.iceServers, message.ttl, nowMs);
        if (this.#session)
          this.#effects.push({ type: "useServers", iceServers: message.iceServers });
        return;
      case "signal":
        this.#signalled(message);
        return;
      case "partner_left":
        if (this.#session?.id === message.sessionId) this.#partnerLeft(message.reason, nowMs);
        return;
      case "partner_reconnecting":
      case "partner_resumed":
        if (this.phase.kind === "inCall" && this.#session?.id === message.sessionId) {
          const partnerServerLost = message.type === "partner_reconnecting";
          this.phase = { ...this.phase, partnerServerLost };
        }
        return;
      case "resumed":
        this.#serverBack();
        // What ended the call meanwhile follows, if the server knows.
        if (message.sessionId === null) this.#partnerIsGone(nowMs);
        // This side was offline, and media has not come back with the server.
        else if (this.#wantsRoute || this.#silentSinceMs !== null) this.#restart();
        if (message.sessionId !== null && this.#lastMove !== null) this.#sendMove(this.#lastMove);
        this.#setLimit();
        return;
      case "error":
        this.#refused(message.code, message.id, nowMs);
        return;
      case "other":
        return;
    }
  }

  /** Any message shows that the server is there. */
  #heard(nowMs: number): void {
    const silentMs = this.#registered?.silentMs ?? 0;
    this.#deadlines.silent = silentMs > 0 ? nowMs + silentMs : Infinity;
  }

  #register(registered: Registered, nowMs: number): void {
    const resumeToken = this.#resumeToken;
    this.#registered = registered;
    this.#iceServers.registered(registered.iceServers, nowMs);
    this.#resumeToken = null;
    this.#attempts = 0;
    this.#deadlines.attempt = Infinity;
    const [least, most] = PROBE_MS;
    this.#probeMs = Math.min(most, Math.max(least, nowMs - this.#connectingSinceMs));
    this.#deadlines.server = Infinity;
    this.#heard(nowMs);
    this.#deadlines.ping = registered.heartbeatMs > 0 ? nowMs + registered.heartbeatMs : Infinity;

    if (resumeToken !== null) {
      this.#send({ type: "resume", resumeToken, lastSeq: this.#lastSeq, id: RESUME_ID });
    } else if (this.phase.kind === "knocking") {
      const name = this.#name === "" ? {} : { userName: this.#name };
      const room = { room: this.#room, mustExist: true } as const;
      this.#send({ type: "find_partner", ...name, ...room, id: KNOCK_ID });
    }
  }

  #found(found: Found, nowMs: number): void {
    const { sessionId: id, socketId, userName: name, userPicture: picture, initiator } = found;
    this.#session = { id, socketId };
    this.phase = { kind: "connecting", partner: { name, picture }, slow: false };
    this.#deadlines.slow = nowMs + SLOW_MS;
    this.#deadlines.connect = nowMs + CONNECT_TIMEOUT_MS;
    this.#deadlines.code = nowMs + CODE_TIMEOUT_MS;
    this.#iceServers.found(found.iceServers, found.iceServersTtl, nowMs);
    const iceServers = this.#iceServers.list;
    this.#effects.push({ type: "startPeer", sessionId: id, initiator, iceServers });
  }

  #signalled({ seq, sessionId, signal }: Extract<ServerMessage, { type: "signal" }>): void {
    // A resume repeats what may have arrived before.
    if (seq <= this.#lastSeq) return;
    this.#lastSeq = seq;
    if (this.#session?.id === sessionId) this.#effects.push({ type: "signalPeer", signal });
  }

  /** Passes what the local peer connection says to the partner. */
  #relay(signal: Signal): void {
    const to = this.#session?.socketId;
    if (to === undefined) return;
    if (signal.kind === "candidate") {
      const { candidate, connection } = signal;
      const isNumbered = candidate !== null && connection !== undefined;
      const sent = isNumbered ? { ...candidate, connection } : candidate;
      this.#send({ type: "ice_candidate", to, candidate: sent });
      return;
    }
    if (signal.kind === "pake") {
      this.#lastMove = signal.pake;
      this.#sendMove(signal.pake);
      return;
    }
    const { description, pake, connection, round } = signal;
    const described = {
      ...description,
      ...(pake !== undefined && { pake }),
      ...(connection !== undefined && { connection }),
      ...(round !== undefined && { round }),
    };
    if (description.type === "offer") this.#send({ type: "webrtc_offer", to, offer: described });
    else this.#send({ type: "webrtc_answer", to, answer: described });
  }

  #sendMove(pake: unknown): void {
    const to = this.#session?.socketId;
    if (to !== undefined) this.#send({ type: "ice_candidate", to, candidate: { pake } });
  }

  #partnerLeft(reason: string, nowMs: number): void {
    if (this.phase.kind === "connecting") {
      this.#left = reason;
      this.#effects.push({ type: "finishCheck" });
    } else {
      this.#partnerIsOut(reason, nowMs);
    }
  }

  #partnerIsOut(reason: string, nowMs: number): void {
    this.#left = null;
    if (reason === "disconnected" || reason === "node_lost") this.#partnerIsGone(nowMs);
    else this.#end("left", nowMs);
  }

  /** The server has lost the partner, but media may still flow. */
  #partnerIsGone(nowMs: number): void {
    this.#partnerGone = true;
    this.#wantsRoute = false;
    const { phase } = this;
    if (phase.kind === "connecting") this.#end("connectionLost", nowMs);
    if (phase.kind !== "inCall") return;
    if (phase.reconnecting) this.#setLimit();
    else this.phase = { ...phase, partnerServerLost: true };
  }

  #socketClosed(code: number | undefined, nowMs: number): void {
    if (code === BANNED) this.#end("banned", nowMs);
    else if (code === KICKED) this.#end("kicked", nowMs);
    else this.#socketLost(nowMs);
  }

  #refused(code: string, id: string | null, nowMs: number): void {
    if (code === "banned") {
      this.#end("banned", nowMs);
    } else if (id === RESUME_ID) {
      // The server knows this client no more; media does not depend on it.
      this.#serverBack();
      this.#partnerIsGone(nowMs);
    } else if (code === "unauthorized" && id === null) {
      // The server admits nobody without a token, or not with this one.
      if (this.phase.kind === "knocking") this.#end("privateServer", nowMs);
    } else if (id === KNOCK_ID && this.phase.kind === "knocking") {
      this.#end(REFUSALS.get(code) ?? "serverAway", nowMs);
    }
  }

  #serverBack(): void {
    if (this.phase.kind === "inCall") this.phase = { ...this.phase, serverLost: false };
  }

  #socketLost(nowMs: number): void {
    this.#isOpen = false;
    this.#iceServers.lost();
    this.#deadlines.attempt = Infinity;
    this.#deadlines.probe = Infinity;
    this.#deadlines.ping = Infinity;
    this.#deadlines.silent = Infinity;

    const { phase } = this;
    if (phase.kind === "knocking") {
      // The search has ended with the connection, and begins again with the next one.
      this.phase = { ...phase, ringing: false };
      this.#deadlines.server = Math.min(this.#deadlines.server, nowMs + SERVER_TIMEOUT_MS);
    } else if (phase.kind === "inCall" || phase.kind === "connecting") {
      this.#resumeToken ??= this.#registered?.resumeToken ?? null;
      if (phase.kind === "inCall") {
        this.phase = { ...phase, serverLost: true };
        this.#setLimit();
      }
    } else {
      return;
    }

    const [first, longest] = BACKOFF_MS;
    const limit = Math.min(longest, first * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#deadlines.retry = nowMs + this.#random() * limit;
  }

  #peerChanged(state: PeerState, nowMs: number): void {
    const { phase } = this;
    if (phase.kind === "connecting") {
      if (state === "failed" || state === "broken") this.#end("noRoute", nowMs);
      if (state === "connected") this.#begin(phase.partner, nowMs);
    } else if (phase.kind === "inCall") {
      if (state === "broken") {
        this.#end("connectionLost", nowMs);
        return;
      }
      this.#isDown = state !== "connected";
      this.#showSilence(nowMs);
      if (state === "failed") this.#restart();
    }
  }

  /** Shows whether media is missing. Firefox calls a connection "connected" for up to ten seconds more. */
  #showSilence(nowMs: number): void {
    if (this.phase.kind !== "inCall") return;
    const reconnecting = this.#isDown || this.#isSilent;
    this.#silentSinceMs = reconnecting ? (this.#silentSinceMs ?? nowMs) : null;
    this.phase = { ...this.phase, reconnecting };
    this.#setLimit();
  }

  /** Looks for another route: now, or once the server is back. */
  #restart(): void {
    this.#wantsRoute = !this.#canSignal();
    if (this.#wantsRoute) return;
    this.#effects.push({ type: "restartPeer", again: this.#hasSearched });
    this.#hasSearched = true;
  }

  /** Whether the server passes messages on to the partner. */
  #canSignal(): boolean {
    const serverLost = this.phase.kind === "inCall" && this.phase.serverLost;
    return this.#isOpen && !serverLost && !this.#partnerGone;
  }

  /** A call waits for media as long as the server keeps it, or for a while. */
  #setLimit(): void {
    const since = this.#silentSinceMs;
    const limit = this.#canSignal() ? LOST_MS : GONE_MS;
    this.#deadlines.lost = since === null ? Infinity : since + limit;
  }

  #begin(partner: Person, nowMs: number): void {
    this.#deadlines.slow = Infinity;
    this.#deadlines.connect = Infinity;
    this.phase = {
      kind: "inCall",
      partner,
      connectedAtMs: nowMs,
      ...this.#reported(),
      reconnecting: false,
      serverLost: !this.#isOpen,
      partnerServerLost: this.#partnerGone,
    };
  }

  #leave(nowMs: number): void {
    const { kind } = this.phase;
    if (kind === "inCall") this.#end("hungUp", nowMs);
    if (kind !== "knocking" && kind !== "connecting") return;
    this.#end("hungUp", nowMs);
    this.phase = { kind: "start" };
  }

  #end(reason: EndReason, nowMs: number): void {
    const { phase } = this;
    const partner = "partner" in phase ? phase.partner : null;
    const durationMs = phase.kind === "inCall" ? nowMs - phase.connectedAtMs : null;

    if (this.#session) {
      this.#send({ type: "end_session", sessionId: this.#session.id });
      this.#effects.push({ type: "stopPeer" });
    }
    this.#send({ type: "bye" });
    if (this.#isOpen) this.#effects.push({ type: "disconnect" });

    this.#isOpen = false;
    this.#session = null;
    this.#left = null;
    this.#registered = null;
    this.#resumeToken = null;
    this.#attempts = 0;
    this.#iceServers.ended();
    Object.assign(this.#deadlines, NEVER);
    this.phase = { kind: "ended", reason, partner, durationMs };
  }

  /** Does what is due. */
  #tick(nowMs: number): void {
    const due = (name: Deadline) => {
      if (this.#deadlines[name] > nowMs) return false;
      this.#deadlines[name] = Infinity;
      return true;
    };

    if (due("server")) this.#end("serverAway", nowMs);
    if (due("connect")) this.#end("noRoute", nowMs);
    if (due("code")) this.#effects.push({ type: "codeTimedOut" });
    if (due("lost")) this.#end("connectionLost", nowMs);
    if (due("slow") && this.phase.kind === "connecting") this.phase = { ...this.phase, slow: true };
    if (due("silent")) {
      this.#effects.push({ type: "disconnect" });
      this.#socketLost(nowMs);
    }
    if (due("ping")) {
      this.#send({ type: "ping", t: Math.round(nowMs) });
      this.#deadlines.ping = nowMs + (this.#registered?.heartbeatMs ?? Infinity);
    }
    if (this.#iceServers.isDue(nowMs)) this.#send({ type: "get_ice_servers" });
    if (due("notice")) {
      this.#isSilent = true;
      this.#showSilence(nowMs);
    }
    if (due("probe")) this.#networkChanged(nowMs);
    if (due("attempt")) {
      this.#effects.push({ type: "disconnect" });
      this.#socketLost(nowMs);
    }
    if (due("retry")) this.#connect(nowMs);
  }
}
