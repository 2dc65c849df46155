// Whether the other person knows the words of the invite: the handshake in a guest's call. Without
// that, no media is sent or shown (docs/protocol.md, "Verifying the partner").

import type { Bytes } from "../trust/bytes";
import { CodeExchange } from "../trust/code";
import { fingerprintIn } from "../trust/fingerprint";
import { Handshake, type Step } from "../trust/handshake";

/** A move of the handshake, as it is sent. */
export type Pake = Record<string, string>;

/** How many wrong words partners may try before the link is given up. */
export const MAX_GUESSES = 5;

/** What the check has found out: nobody without the words is at the other end, or somebody may be. */
export type Verdict = "verified" | "mismatch";

export interface CheckedCall {
  /** The invite's number and its two words. */
  room: string;
  words: string;
  /** The session's id. */
  sessionId: string;
  /** Whether this side makes the first offer. */
  initiator: boolean;
}

/** The check of one call. */
export class CodeCheck {
  readonly #call: CheckedCall;
  readonly #random: () => Bytes;
  /** `null` until this side's certificate is known. */
  #handshake: Handshake | null = null;
  /** The first move, which goes with every offer until one is answered. */
  #first: Pake | null = null;
  #verdict: Verdict | null = null;

  constructor(call: CheckedCall, random = (): Bytes => crypto.getRandomValues(new Uint8Array(32))) {
    this.#call = call;
    this.#random = random;
  }

  get verdict(): Verdict | null {
    return this.#verdict;
  }

  /** Whether the other person could try words, and is not known to have had the right ones. */
  get spentAGuess(): boolean {
    return this.#handshake?.spentAGuess ?? false;
  }

  /** What goes with an offer of this side. */
  offer(sdp: string): Pake | null {
    if (!this.#call.initiator) return null;
    this.#first ??= this.#begin(sdp)?.offer() ?? null;
    return this.#handshake?.outcome ? null : this.#first;
  }

  /**
   * A description of the partner has come. `local`: this side's own one. Returns the move that it calls
   * for, and what is to carry it. After a mismatch, the description must not be applied.
   */
  received(kind: "offer" | "answer", pake: unknown, remote: string, local: string): Step["send"] {
    const handshake = this.#begin(local);
    const step = handshake?.handle({ kind, pake, remote: fingerprintIn(remote) });
    return this.#take(step ?? null);
  }

  /** A candidate with a move in it has come. */
  candidate(pake: unknown): Step["send"] {
    return this.#take(this.#handshake?.handle({ kind: "candidate", pake }) ?? null);
  }

  /** The last move has not come in time. */
  timedOut(): Step["send"] {
    // Without a description there was nothing to check: the call ends for that.
    if (!this.#handshake) return null;
    return this.#take(this.#handshake.handle({ kind: "timedOut" }));
  }

  #begin(local: string): Handshake | null {
    if (this.#handshake) return this.#handshake;
    const certificate = fingerprintIn(local);
    if (certificate === null) return null;

    const { room, words, sessionId, initiator } = this.#call;
    const role = initiator ? ("offerer" as const) : ("answerer" as const);
    try {
      const session = { id: sessionId, role, local: certificate };
      const code = { room, words, party: "guest" as const };
      this.#handshake = new Handshake(new CodeExchange(code, session, this.#random()), session);
    } catch {
      // The server's id of the session is none.
      return null;
    }
    return this.#handshake;
  }

  /** `null`: no handshake was possible, so nothing is proved. */
  #take(step: Step | null): Step["send"] {
    if (step?.outcome?.kind === "verified") this.#verdict ??= "verified";
    if (!step || step.outcome?.kind === "mismatch") this.#verdict = "mismatch";
    return step?.send ?? null;
  }
}
