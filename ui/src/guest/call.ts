// Carries out what the state machine decides: the WebSocket, the peer connection and the timer.

import { socketUrl, type Invite } from "./address";
import { MAX_GUESSES } from "./code-check";
import type { Effect, Input, Phase } from "./call-events";
import { Machine } from "./machine";
import { Peer, type Sent } from "./peer";
import { parseMessage } from "./protocol";

/** The longest wait that `setTimeout` knows, in ms. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export class Call {
  readonly #machine: Machine;
  readonly #url: string;
  readonly #protocols: string[];
  readonly #invite: Invite;
  /** How many wrong words partners could try, in all calls of this page. */
  #guesses = 0;
  readonly #changed: () => void;
  readonly #sent: () => Sent;
  #socket: WebSocket | null = null;
  /** For all peer connections of the next call. */
  #certificate: RTCCertificate | null = null;
  #peer: Peer | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Calls `changed` after each input; `sent` returns the local tracks. */
  constructor(invite: Invite, changed: () => void, sent: () => Sent) {
    this.#machine = new Machine(invite.room, Math.random);
    this.#invite = invite;
    this.#url = socketUrl(location);
    // Never in the query: proxies write that into their logs.
    this.#protocols = invite.token === null ? [] : ["tandem", `bearer.${invite.token}`];
    this.#changed = changed;
    this.#sent = sent;
    window.addEventListener("online", () => {
      this.#input({ type: "networkChanged" });
    });
  }

  get phase(): Phase {
    return this.#machine.phase;
  }

  get remote(): MediaStream | null {
    return this.#peer?.remote ?? null;
  }

  /** Whether the two have a format for video in common: known in a call. */
  get sharesVideo(): boolean {
    return this.#peer?.sharesVideo ?? true;
  }

  knock(name: string): void {
    const isVoid = this.#guesses >= MAX_GUESSES;
    void this.#makeCertificate();
    this.#input(isVoid ? { type: "codeVoid" } : { type: "knock", name });
  }

  leave(): void {
    this.#input({ type: "leave" });
  }

  toStart(): void {
    this.#input({ type: "toStart" });
  }

  /** The local tracks have changed. */
  updateTracks(): void {
    this.#peer?.update(this.#sent());
  }

  /** Without a certificate that is made here, the call takes no fresh connection. */
  async #makeCertificate(): Promise<void> {
    this.#certificate = null;
    try {
      const algorithm = { name: "ECDSA", namedCurve: "P-256" };
      this.#certificate = await RTCPeerConnection.generateCertificate(algorithm);
    } catch {
      // The browser makes one of its own with the connection.
    }
  }

  #input(input: Input): void {
    for (const effect of this.#machine.handle(input, performance.now())) this.#run(effect);
    this.#schedule();
    this.#changed();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const { deadlineMs } = this.#machine;
    if (deadlineMs === Infinity) return;
    const wait = Math.min(Math.max(0, deadlineMs - performance.now()), MAX_TIMEOUT_MS);
    this.#timer = setTimeout(() => {
      this.#input({ type: "time" });
    }, wait);
  }

  #run(effect: Effect): void {
    switch (effect.type) {
      case "connect":
        this.#connect();
        return;
      case "send":
        if (this.#socket?.readyState === WebSocket.OPEN) {
          this.#socket.send(JSON.stringify(effect.message));
        }
        return;
      case "disconnect":
        this.#disconnect();
        return;
      case "startPeer":
        this.#startPeer(effect);
        return;
      case "useServers":
        this.#peer?.useServers(effect.iceServers);
        return;
      case "codeTimedOut":
        this.#peer?.codeTimedOut();
        return;
      case "finishCheck":
        void this.#peer?.finishCheck();
        return;
      case "signalPeer":
        this.#peer?.receive(effect.signal);
        return;
      case "restartPeer":
        this.#peer?.restart(effect.again);
        return;
      case "stopPeer":
        if (this.#peer?.spentAGuess) this.#guesses += 1;
        this.#peer?.close();
        this.#peer = null;
        return;
    }
  }

  #startPeer({ sessionId, initiator, iceServers }: Extract<Effect, { type: "startPeer" }>): void {
    const { room, words } = this.#invite;
    const call = { room, words, sessionId, initiator };
    this.#peer = new Peer(call, iceServers, this.#certificate, this.#sent(), {
      signal: (signal) => {
        this.#input({ type: "signal", signal });
      },
      state: (state) => {
        this.#input({ type: "peer", state });
      },
      partnerState: (state) => {
        this.#input({ type: "partnerState", ...state });
      },
      route: (news) => {
        this.#input({ type: "route", news });
      },
      verdict: (verdict) => {
        this.#input({ type: "verdict", verdict });
      },
      checkFinished: () => {
        this.#input({ type: "checkFinished" });
      },
    });
  }

  #connect(): void {
    const socket = new WebSocket(this.#url, this.#protocols);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (socket !== this.#socket) return;
      this.#input({ type: "received", message: parseMessage(data) });
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      this.#input({ type: "socketClosed", code });
    });
  }

  #disconnect(): void {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }
}
