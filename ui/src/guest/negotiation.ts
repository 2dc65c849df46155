// Perfect negotiation (WebRTC §10.7) over the signaling server: each description and candidate in
// the order in which it came, and the polite side yields if two offers collide. The moves of the
// handshake go with them.
//
// The polite side's later offers are applied only when they are answered, so that it never has to take
// one back: after a rollback in mid-call, Chromium 156 decodes the partner's video and shows none of it.

import type { CodeCheck } from "./code-check";
import type { Signal } from "./protocol";

/** What negotiation needs of an `RTCPeerConnection`. */
export type Negotiable = Pick<
  RTCPeerConnection,
  | "signalingState"
  | "localDescription"
  | "remoteDescription"
  | "setLocalDescription"
  | "setRemoteDescription"
  | "addIceCandidate"
> & { createOffer: () => Promise<RTCSessionDescriptionInit> };

type Description = Extract<Signal, { kind: "description" }>;

/** A move of the handshake, and what is to carry it; `null` for none. */
type Move = ReturnType<CodeCheck["candidate"]>;

interface Options {
  peer: Negotiable;
  /** Which side yields: not the one that makes the first offer. */
  polite: boolean;
  /** Sends a signal to the partner. */
  send: (signal: Signal) => void;
  /** Called after the partner's first offer, before it is answered: adds the local tracks to it. */
  onFirstOffer: () => Promise<void>;
  /** Called when the partner's description is not one. */
  onFault: () => void;
  /** This side's description on the connection before. Without one, its certificate is not known yet. */
  before?: string | undefined;
  /** Whether the partner knows the words. */
  check: Pick<CodeCheck, "offer" | "received" | "candidate" | "verdict">;
  /** Called after each step of the check, when its move has been sent. */
  onChecked: () => void;
}

export class Negotiation {
  readonly #options: Options;
  #makingOffer = false;
  /** The SDP of an offer that has been sent and is applied when the answer comes. */
  #heldOffer: string | null = null;
  /**
   * The number of this side's newest offer, which the answer to it repeats. A partner that repeats none
   * answers each offer once, as far as can be told.
   */
  #round = 0;
  /** Offers of the partner that were taken: an offer that is older is void. */
  #taken = 0;
  #ignoresOffer = false;
  #isAnswered = false;
  /** Candidates that came before the description that they belong to. */
  #early: RTCIceCandidateInit[] = [];
  #queue: Promise<void> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Makes an offer: for `negotiationneeded`. */
  async offer(): Promise<void> {
    const { onFault } = this.#options;
    try {
      this.#makingOffer = true;
      await this.#describe();
    } catch {
      onFault();
    } finally {
      this.#makingOffer = false;
    }
  }

  /** Whether an offer waits for its answer that has no candidates yet. */
  get holdsOffer(): boolean {
    return this.#heldOffer !== null;
  }

  /** Sends the offer that waits for an answer again. Returns whether there is one. */
  repeatOffer(): boolean {
    const { peer } = this.#options;
    const isApplied = peer.signalingState === "have-local-offer";
    const sdp = isApplied ? peer.localDescription?.sdp : this.#heldOffer;
    if (!sdp) return false;
    this.#sendOffer(sdp);
    return true;
  }

  /** Resolves once everything that has come so far has been handled. */
  idle(): Promise<void> {
    return this.#queue;
  }

  /** Takes a signal of the partner. Resolves once it and all before it have been handled. */
  receive(signal: Signal): Promise<void> {
    this.#queue = this.#queue.then(() => {
      switch (signal.kind) {
        case "description":
          return this.#description(signal);
        case "candidate":
          return this.#candidate(signal.candidate);
        case "pake":
          this.#sendMove(this.#options.check.candidate(signal.pake));
          return undefined;
      }
    });
    return this.#queue;
  }

  async #description({ description, pake, round }: Description): Promise<void> {
    const { peer, polite, check, onFirstOffer, onFault } = this.#options;
    const isOffer = description.type === "offer";
    // An answer that nobody asked for changes nothing, and neither does one to an offer that is void or
    // has been answered: repeated offers have several.
    const held = this.#heldOffer;
    if (!isOffer && peer.signalingState !== "have-local-offer" && held === null) return;
    if (!isOffer && round !== undefined && round !== this.#round) return;

    const collides = isOffer && (this.#makingOffer || peer.signalingState !== "stable");
    this.#ignoresOffer = collides && !polite;
    if (this.#ignoresOffer) return;

    // Before its first description, this side does not know its own certificate: then the offer is
    // checked with the answer, and there is no media yet.
    const { sdp = "" } = description;
    const local = peer.localDescription?.sdp ?? this.#options.before;
    const isFirst = local === undefined;
    let move = isFirst ? null : check.received(isOffer ? "offer" : "answer", pake, sdp, local);
    if (check.verdict === "mismatch") {
      this.#sendMove(move);
      return;
    }

    try {
      // The partner waits for the last move, and applying takes longer.
      if (!isOffer) this.#sendMove(move);
      this.#heldOffer = null;
      if (isOffer) this.#taken += 1;
      else if (held !== null) await peer.setLocalDescription({ type: "offer", sdp: held });
      await peer.setRemoteDescription(description);
      for (const candidate of this.#early.splice(0)) await this.#add(candidate);
      if (!isOffer) return;

      if (!this.#isAnswered) await onFirstOffer();
      this.#isAnswered = true;
      await peer.setLocalDescription();
      const answer = peer.localDescription?.sdp ?? "";
      if (isFirst) move = check.received("offer", pake, sdp, answer);
      this.#answer(answer, move, round);
    } catch {
      onFault();
    }
  }

  async #describe(): Promise<void> {
    const { peer, polite } = this.#options;
    this.#round += 1;
    if (!polite || !peer.remoteDescription) {
      await peer.setLocalDescription();
      if (peer.localDescription) this.#sendOffer(peer.localDescription.sdp);
      return;
    }

    const taken = this.#taken;
    const { sdp } = await peer.createOffer();
    // What is still to be negotiated after the partner's offer has an event of its own.
    if (taken !== this.#taken || sdp === undefined) return;
    this.#heldOffer = sdp;
    this.#sendOffer(sdp);
  }

  #sendOffer(sdp: string): void {
    const { send, check } = this.#options;
    const pake = check.offer(sdp);
    const description = { type: "offer", sdp } as const;
    send({ kind: "description", description, round: this.#round, ...(pake && { pake }) });
  }

  /** Sends the answer to an offer, and the move that the offer's own one calls for. */
  #answer(sdp: string, move: Move, round: number | undefined): void {
    const { send } = this.#options;
    const description = { type: "answer", sdp } as const;
    const beside = move?.carrier === "answer" ? { pake: move.pake } : {};
    send({ kind: "description", description, ...(round !== undefined && { round }), ...beside });
    this.#sendMove(move?.carrier === "candidate" ? move : null);
  }

  #sendMove(move: Move): void {
    const { send, onChecked } = this.#options;
    if (move) send({ kind: "pake", pake: move.pake });
    onChecked();
  }

  async #candidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    // The end of the candidates needs no action.
    if (candidate === null || candidate.candidate === "") return;
    if (this.#options.peer.remoteDescription) await this.#add(candidate);
    // A partner that sends candidates without a description must not fill memory.
    else if (this.#early.length < 100) this.#early.push(candidate);
  }

  /** A candidate that the browser refuses is one route less, no reason to end the call. */
  async #add(candidate: RTCIceCandidateInit): Promise<void> {
    try {
      await this.#options.peer.addIceCandidate(candidate);
    } catch {
      // Another candidate may work.
    }
  }
}
