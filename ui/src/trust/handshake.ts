// The three moves as a state machine: in the offer, in the answer, and in one candidate. The twin of
// src-tauri/trust/src/handshake.rs, which describes them.

import { checked, type Exchange, type Mismatch, type Outcome, type Session } from "./exchange";
import { type Fingerprint, normalized } from "./fingerprint";
import { fromPake, type Message, toPake } from "./message";

/** What carries a move, under `pake`. */
export type Carrier = "offer" | "answer" | "candidate";

/** What happens to a handshake. */
export type Input =
  /** The page applies a description of the partner. */
  | {
      kind: "offer" | "answer";
      /** The value of `pake` in its payload; `undefined` or `null` without one. */
      pake: unknown;
      /** The certificate that it names: `fingerprintIn`. */
      remote: Fingerprint | null;
    }
  /** A candidate arrived whose payload has `pake`. */
  | { kind: "candidate"; pake: unknown }
  /** The deadline for the handshake has passed. */
  | { kind: "timedOut" };

/** What to do next. */
export interface Step {
  send: { carrier: Carrier; pake: Record<string, string> } | null;
  /** The outcome, if this input has decided or changed it. */
  outcome: Outcome | null;
}

type Stage = "awaitsOffer" | "awaitsAnswer" | "awaitsConfirmation" | "done";

const NOTHING: Step = { send: null, outcome: null };
const MAX_SESSION_ID_BYTES = 128;

/** One side of a handshake. */
export class Handshake {
  readonly #session: Session;
  /** Dropped once no move is awaited: it has the secrets. */
  #exchange: Exchange | null;
  /** Made at the start: it may be needed after the secrets are gone. */
  readonly #refusal: Message;
  readonly #isMandatory: boolean;
  #stage: Stage;
  #remote: Fingerprint | null = null;
  /** The answerer's second move, for an offer that comes again. */
  #answer: Message | null = null;
  #testedAGuess = false;
  #knewTheCode = false;
  /** The third move that the answerer has accepted, as JSON. */
  #accepted: string | null = null;
  #outcome: Outcome | null = null;

  /**
   * With a new exchange, for the same session: `CodeExchange` or `WordsExchange`. Its random bytes
   * are 32 of `crypto.getRandomValues`, used for nothing else. Throws if the session's id has not 1
   * to 128 bytes, or its certificate is none.
   */
  constructor(exchange: Exchange, session: Session) {
    const idBytes = new TextEncoder().encode(session.id).length;
    if (idBytes === 0 || idBytes > MAX_SESSION_ID_BYTES) throw new Error("the session's id");
    this.#session = checked(session);
    this.#exchange = exchange;
    this.#refusal = exchange.refusal();
    this.#isMandatory = exchange.isMandatory;
    this.#stage = session.role === "offerer" ? "awaitsAnswer" : "awaitsOffer";
  }

  /** The first move, for the offerer's offer. Throws after the handshake. */
  offer(): Record<string, string> {
    if (!this.#exchange) throw new Error("the handshake is over");
    return toPake(this.#exchange.offer());
  }

  /** What has been found out so far. A mismatch is final; everything else can become one. */
  get outcome(): Outcome | null {
    return this.#outcome;
  }

  /**
   * Whether the partner could try a code that was not the right one, as far as is known. Both sides
   * count these for each code, from the moment when the partner could try one: it may leave without
   * its last move. A guess is taken back when the partner turns out to know the code.
   */
  get spentAGuess(): boolean {
    return this.#testedAGuess && !this.#knewTheCode;
  }

  handle(input: Input): Step {
    if (this.#outcome?.kind === "mismatch") return NOTHING;
    switch (input.kind) {
      case "offer":
      case "answer":
        return this.#description(input.kind, input.pake, input.remote);
      case "candidate":
        if (input.pake === undefined || input.pake === null) return NOTHING;
        return this.#candidate(fromPake(input.pake));
      case "timedOut":
        return this.#timedOut();
    }
  }

  #description(kind: "offer" | "answer", pake: unknown, remote: Fingerprint | null): Step {
    // A partner without safety words: the call is as it would be without this.
    if (this.#stage === "done" && this.#outcome?.kind === "unavailable") return NOTHING;
    const hasMove = pake !== undefined && pake !== null;
    if (!this.#isMandatory && this.#remote === null && !hasMove && remote === null) {
      return this.#decide({ kind: "unavailable" });
    }

    const certificate = remote === null ? null : normalized(remote);
    const fault = this.#certificateFault(certificate);
    if (fault || certificate === null) return this.#refuse(fault ?? "noFingerprint", kind);
    if (this.#stage === "done") return NOTHING;
    if (this.#stage === "awaitsConfirmation") return this.#repeatAnswer(kind);
    if (this.#stage !== (kind === "offer" ? "awaitsOffer" : "awaitsAnswer")) {
      return this.#refuse("outOfOrder", kind);
    }

    if (!hasMove) {
      return this.#isMandatory
        ? this.#refuse("missing", kind)
        : this.#decide({ kind: "unavailable" });
    }
    const message = fromPake(pake);
    // Another version's method: as if the partner had none.
    if (message === "unknownMethod" && !this.#isMandatory) {
      return this.#decide({ kind: "unavailable" });
    }
    if (typeof message === "string" || !this.#exchange) return this.#refuse("malformed", kind);
    return kind === "offer"
      ? this.#firstOffer(this.#exchange, message, certificate)
      : this.#firstAnswer(this.#exchange, message, certificate);
  }

  #firstOffer(exchange: Exchange, message: Message, remote: Fingerprint): Step {
    const answer = exchange.answer(message, remote);
    if (typeof answer === "string") return this.#refuse(answer, "offer");
    this.#testedAGuess = exchange.testedAGuess;
    this.#answer = answer;
    this.#stage = "awaitsConfirmation";
    return this.#repeatAnswer("offer");
  }

  /** The answer to an offer that comes again needs the second move, too. */
  #repeatAnswer(kind: "offer" | "answer"): Step {
    if (kind !== "offer" || !this.#answer) return NOTHING;
    return { send: { carrier: "answer", pake: toPake(this.#answer) }, outcome: null };
  }

  #firstAnswer(exchange: Exchange, message: Message, remote: Fingerprint): Step {
    const third = exchange.confirm(message, remote);
    this.#testedAGuess = exchange.testedAGuess;
    if (typeof third === "string") return this.#refuse(third, "answer");
    const step = this.#decide(third.outcome);
    return { ...step, send: { carrier: "candidate", pake: toPake(third.send) } };
  }

  /** One certificate, always the same, and not this side's. */
  #certificateFault(remote: Fingerprint | null): Mismatch | null {
    if (remote === null) return "noFingerprint";
    if (remote === this.#session.local) return "reflected";
    this.#remote ??= remote;
    return this.#remote === remote ? null : "fingerprintChanged";
  }

  /** The third move. The offerer expects none: one that comes is the answerer's refusal. */
  #candidate(message: ReturnType<typeof fromPake>): Step {
    if (typeof message === "string") {
      // The partner goes on with a method of its own version.
      const isExpected = message === "unknownMethod" && this.#outcome?.kind === "unavailable";
      return isExpected ? NOTHING : this.#refuse("malformed");
    }
    const json = JSON.stringify(toPake(message));
    if (this.#stage === "done" && this.#accepted === json) return NOTHING;
    if (this.#stage !== "awaitsConfirmation" || !this.#exchange) {
      return this.#refuse("outOfOrder");
    }

    const outcome = this.#exchange.end(message);
    if (typeof outcome === "string") return this.#refuse(outcome);
    this.#accepted = json;
    return this.#decide(outcome);
  }

  /** Without a code, the partner may still be late: the stage stays. */
  #timedOut(): Step {
    if (this.#stage === "done" || this.#outcome?.kind === "unavailable") return NOTHING;
    if (this.#isMandatory) {
      // A partner from which nothing has come may be away.
      return this.#stage === "awaitsConfirmation" ? this.#refuse("timedOut") : NOTHING;
    }
    this.#outcome = { kind: "unavailable" };
    return { send: null, outcome: this.#outcome };
  }

  #decide(outcome: Outcome): Step {
    this.#stage = "done";
    this.#exchange = null;
    this.#knewTheCode ||= outcome.kind === "verified";
    this.#outcome = outcome;
    return { send: null, outcome };
  }

  /** Ends in a mismatch, and makes the partner end in one. */
  #refuse(reason: Mismatch, cause?: "offer" | "answer"): Step {
    const carrier = cause === "offer" && this.#stage === "awaitsOffer" ? "answer" : "candidate";
    const step = this.#decide({ kind: "mismatch", reason });
    return { ...step, send: { carrier, pake: toPake(this.#refusal) } };
  }
}
