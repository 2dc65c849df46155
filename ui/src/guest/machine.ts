// A guest's call, from the knock to its end, without a socket, a peer connection or a clock: inputs
// and the time go in, effects come out. `call.ts` carries them out.

import { Attempts } from "./attempts";
import type { Effect, EndReason, Input, PeerState, Person, Phase } from "./call-events";
import {
  CODE_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  type Deadline,
  Deadlines,
  GONE_MS,
  LOST_MS,
  NOTICE_MS,
  SERVER_TIMEOUT_MS,
  SLOW_MS,
} from "./deadlines";
import { IceServers } from "./ice-servers";
import {
  type ClientMessage,
  type Found,
  KNOCK_ID,
  messageOf,
  type Registered,
  RESUME_ID,
  type ServerMessage,
  type Signal,
} from "./protocol";
import { EXPELLED, REFUSALS } from "./refusals";
import { Session } from "./session";
import { Silence } from "./silence";
import { canBeSeen } from "../text";

export class Machine {
  phase: Phase = { kind: "start" };

  readonly #room: string;
  readonly #random: () => number;
  #effects: Effect[] = [];

  #name = "";
  #isOpen = false;
  /** The server has registered the client of this connection. */
  #isLetIn = false;
  #attempts = new Attempts();
  #registered: Registered | null = null;
  /** The token of the connection that broke, until it is sent. */
  #resumeToken: string | null = null;
  #session: Session | null = null;
  #lastSeq = 0;
  #silence = new Silence();

  readonly #iceServers = new IceServers();
  readonly #deadlines = new Deadlines();

  /** `random` returns a number from 0 to 1. */
  constructor(room: string, random: () => number) {
    this.#room = room;
    this.#random = random;
  }

  /** When to pass a `time`; `Infinity`: not at all. */
  get deadlineMs(): number {
    return Math.min(this.#iceServers.deadlineMs, this.#deadlines.nextMs);
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
        this.#deadlines.clear("code");
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
        if (!this.#session) return;
        this.#session.reported = { partnerMuted: input.muted, partnerCameraOff: !input.camera };
        if (phase.kind === "inCall") this.phase = { ...phase, ...this.#session.reported };
        return;
      case "checkFinished":
        if (typeof this.#session?.left === "string") this.#partnerIsOut(this.#session.left, nowMs);
        return;
      case "time":
        return;
    }
  }

  #knock(name: string, nowMs: number): void {
    this.#name = canBeSeen(name) ? name.trim() : "";
    this.#lastSeq = 0;
    this.#silence = new Silence();
    this.phase = { kind: "knocking", ringing: false, sinceMs: nowMs };
    this.#deadlines.set("server", nowMs + SERVER_TIMEOUT_MS);
    this.#connect(nowMs);
  }

  #networkChanged(nowMs: number): void {
    // The old connection may lead nowhere: what is written into it would be lost.
    if (this.#isOpen) {
      this.#effects.push({ type: "disconnect" });
      this.#socketLost(nowMs);
    }
    this.#connect(nowMs);
    this.#silence.wantsRoute = true;
    this.#silence.hasSearched = false;
  }

  /**
   * A silent partner may be offline, and then comes back by themselves. If the server answers, this
   * side is not offline; if not, this side may have lost its address.
   */
  #routeChanged(news: "silent" | "heard", nowMs: number): void {
    this.#deadlines.clear("probe");
    if (this.phase.kind !== "inCall") return;
    if (news === "heard") {
      this.#silence.heard();
      this.#deadlines.clear("notice");
      this.#showSilence(nowMs);
      return;
    }
    if (!this.#silence.isSilent) this.#deadlines.set("notice", nowMs + NOTICE_MS);
    if (!this.#canSignal()) return;
    this.#send({ type: "ping", t: Math.round(nowMs) });
    this.#deadlines.set("probe", nowMs + this.#attempts.probeMs);
  }

  #connect(nowMs: number): void {
    const attemptMs = this.#attempts.begin(nowMs);
    this.#deadlines.clear("retry");
    this.#deadlines.set("attempt", this.phase.kind === "inCall" ? nowMs + attemptMs : Infinity);
    this.#isOpen = true;
    this.#isLetIn = false;
    this.#effects.push({ type: "connect" });
  }

  #send(message: ClientMessage): void {
    if (this.#isOpen) this.#effects.push({ type: "send", message });
  }

  #receive(message: ServerMessage, nowMs: number): void {
    this.#heard(nowMs);
    if (this.#deadlines.of("probe") !== Infinity) {
      this.#deadlines.clear("probe");
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
        else if (this.#silence.wantsRoute || this.#silence.sinceMs !== null) this.#restart();
        if (message.sessionId !== null && this.#session) this.#repeatMove(this.#session);
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
    this.#deadlines.set("silent", silentMs > 0 ? nowMs + silentMs : Infinity);
  }

  #register(registered: Registered, nowMs: number): void {
    const resumeToken = this.#resumeToken;
    this.#registered = registered;
    this.#isLetIn = true;
    this.#iceServers.registered(registered.iceServers, nowMs);
    this.#resumeToken = null;
    this.#attempts.succeeded(nowMs);
    this.#deadlines.clear("attempt", "server");
    this.#heard(nowMs);
    this.#deadlines.set(
      "ping",
      registered.heartbeatMs > 0 ? nowMs + registered.heartbeatMs : Infinity,
    );

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
    this.#session = new Session(id, socketId);
    this.phase = { kind: "connecting", partner: { name, picture }, slow: false };
    this.#deadlines.set("slow", nowMs + SLOW_MS);
    this.#deadlines.set("connect", nowMs + CONNECT_TIMEOUT_MS);
    this.#deadlines.set("code", nowMs + CODE_TIMEOUT_MS);
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
    if (!this.#session) return;
    if (signal.kind === "pake") this.#session.lastMove = signal.pake;
    this.#send(messageOf(signal, this.#session.socketId));
  }

  #repeatMove({ lastMove: pake, socketId }: Session): void {
    if (pake !== null) this.#send(messageOf({ kind: "pake", pake }, socketId));
  }

  #partnerLeft(reason: string, nowMs: number): void {
    if (this.phase.kind === "connecting" && this.#session) {
      this.#session.left = reason;
      this.#effects.push({ type: "finishCheck" });
    } else {
      this.#partnerIsOut(reason, nowMs);
    }
  }

  #partnerIsOut(reason: string, nowMs: number): void {
    if (this.#session) this.#session.left = null;
    if (reason === "disconnected" || reason === "node_lost") this.#partnerIsGone(nowMs);
    else this.#end("left", nowMs);
  }

  /** The server has lost the partner, but media may still flow. */
  #partnerIsGone(nowMs: number): void {
    if (this.#session) this.#session.partnerGone = true;
    this.#silence.wantsRoute = false;
    const { phase } = this;
    if (phase.kind === "connecting") this.#end("connectionLost", nowMs);
    if (phase.kind !== "inCall") return;
    if (phase.reconnecting) this.#setLimit();
    else this.phase = { ...phase, partnerServerLost: true };
  }

  #socketClosed(code: number | undefined, nowMs: number): void {
    const expelled = EXPELLED.get(code);
    if (expelled !== undefined) this.#expelled(expelled, nowMs);
    else this.#socketLost(nowMs);
  }

  /** The operator has ended this client, or does not let it in again. */
  #expelled(reason: EndReason, nowMs: number): void {
    if (this.#isLetIn) this.#end(reason, nowMs);
    else this.#turnedAway(reason, nowMs);
  }

  /**
   * The server lets nobody in, or not this client. That ends no call: media does not depend on it, and
   * another guest with the same address may be meant.
   */
  #turnedAway(reason: EndReason, nowMs: number): void {
    if (this.phase.kind === "knocking") {
      this.#end(reason, nowMs);
      return;
    }
    this.#effects.push({ type: "disconnect" });
    this.#socketLost(nowMs);
    // From another network the server may see another address. From here it is of no use.
    this.#deadlines.clear("retry");
  }

  #refused(code: string, id: string | null, nowMs: number): void {
    if (code === "banned") {
      this.#expelled("banned", nowMs);
    } else if (id === RESUME_ID) {
      // The server knows this client no more; media does not depend on it.
      this.#serverBack();
      this.#partnerIsGone(nowMs);
    } else if (code === "unauthorized" && id === null) {
      // The server admits nobody without a token, or not with this one.
      this.#turnedAway("privateServer", nowMs);
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
    this.#deadlines.clear("attempt", "probe", "ping", "silent");

    const { phase } = this;
    if (phase.kind === "knocking") {
      // The search has ended with the connection, and begins again with the next one.
      this.phase = { ...phase, ringing: false };
      this.#deadlines.set(
        "server",
        Math.min(this.#deadlines.of("server"), nowMs + SERVER_TIMEOUT_MS),
      );
    } else if (phase.kind === "inCall" || phase.kind === "connecting") {
      this.#resumeToken ??= this.#registered?.resumeToken ?? null;
      if (phase.kind === "inCall") {
        this.phase = { ...phase, serverLost: true };
        this.#setLimit();
      }
    } else {
      return;
    }

    this.#deadlines.set("retry", nowMs + this.#attempts.failed(this.#random()));
  }

  #peerChanged(state: PeerState, nowMs: number): void {
    const { phase } = this;
    if (phase.kind === "connecting") {
      if (state === "failed" || state === "broken") this.#end("noRoute", nowMs);
      if (state === "connected" && this.#session) this.#begin(phase.partner, this.#session, nowMs);
    } else if (phase.kind === "inCall") {
      if (state === "broken") {
        this.#end("connectionLost", nowMs);
        return;
      }
      this.#silence.isDown = state !== "connected";
      this.#showSilence(nowMs);
      if (state === "failed") this.#restart();
    }
  }

  /** Shows whether media is missing. Firefox calls a connection "connected" for up to ten seconds more. */
  #showSilence(nowMs: number): void {
    if (this.phase.kind !== "inCall") return;
    this.phase = { ...this.phase, reconnecting: this.#silence.update(nowMs) };
    this.#setLimit();
  }

  /** Looks for another route: now, or once the server is back. */
  #restart(): void {
    this.#silence.wantsRoute = !this.#canSignal();
    if (this.#silence.wantsRoute) return;
    this.#effects.push({ type: "restartPeer", again: this.#silence.hasSearched });
    this.#silence.hasSearched = true;
  }

  /** Whether the server passes messages on to the partner. */
  #canSignal(): boolean {
    const serverLost = this.phase.kind === "inCall" && this.phase.serverLost;
    return this.#isOpen && !serverLost && !this.#session?.partnerGone;
  }

  /** A call waits for media as long as the server keeps it, or for a while. */
  #setLimit(): void {
    const since = this.#silence.sinceMs;
    const limit = this.#canSignal() ? LOST_MS : GONE_MS;
    this.#deadlines.set("lost", since === null ? Infinity : since + limit);
  }

  #begin(partner: Person, session: Session, nowMs: number): void {
    this.#deadlines.clear("slow", "connect");
    this.phase = {
      kind: "inCall",
      partner,
      connectedAtMs: nowMs,
      ...session.reported,
      reconnecting: false,
      serverLost: !this.#isOpen,
      partnerServerLost: session.partnerGone,
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
    this.#registered = null;
    this.#resumeToken = null;
    this.#attempts = new Attempts();
    this.#iceServers.ended();
    this.#deadlines.clearAll();
    this.phase = { kind: "ended", reason, partner, durationMs };
  }

  /** Does what is due. */
  #tick(nowMs: number): void {
    const due = (name: Deadline) => this.#deadlines.take(name, nowMs);

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
      this.#deadlines.set("ping", nowMs + (this.#registered?.heartbeatMs ?? Infinity));
    }
    if (this.#iceServers.isDue(nowMs)) this.#send({ type: "get_ice_servers" });
    if (due("notice")) {
      this.#silence.isSilent = true;
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
