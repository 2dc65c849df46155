// The three moves as a state machine: in the offer, in the answer, and in one candidate. The twin of
// src-tauri/trust/src/handshake.rs, which describes them.

import type { Exchange, Mismatch, Outcome, Session } from "./exchange";
import type { Fingerprint } from "./fingerprint";
import { fromPake, type Message, toPake } from "./message";

/** What carries a move, under `pake`. */
export type Carrier = "offer" | "answer" | "candidate";

/** What happens to a handshake. */
export type Input =
  /** The page applies a description of the partner. */
  | {
      kind: "offer" | "answer";
      /** The value of `pake` in its payload; `undefined` without one. */
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
  readonly #exchange: Exchange;
  #stage: Stage;
  #remote: Fingerprint | null = null;
  /** The third move that the answerer has accepted, as JSON. */
  #accepted: string | null = null;
  #outcome: Outcome | null = null;

  /**
   * With a new exchange, for the same session: `CodeExchange` or `WordsExchange`. Its random bytes
   * are 32 of `crypto.getRandomValues`, used for nothing else. Throws if the session's id has not 1
   * to 128 bytes.
   */
  constructor(exchange: Exchange, session: Session) {
    const idBytes = new TextEncoder().encode(session.id).length;
    if (idBytes === 0 || idBytes > MAX_SESSION_ID_BYTES) throw new Error("the session's id");
    this.#session = session;
    this.#exchange = exchange;
    this.#stage = session.role === "offerer" ? "awaitsAnswer" : "awaitsOffer";
  }

  /** The first move, for the offerer's offer. */
  offer(): Record<string, string> {
    return toPake(this.#exchange.offer());
  }

  /** What has been found out so far. A mismatch is final; everything else can become one. */
  get outcome(): Outcome | null {
    return this.#outcome;
  }

  /** Whether the partner could try a code and has not been verified. */
  get spentAGuess(): boolean {
    return this.#exchange.testedAGuess && this.#outcome?.kind !== "verified";
  }

  handle(input: Input): Step {
    if (this.#outcome?.kind === "mismatch") return NOTHING;
    switch (input.kind) {
      case "offer":
      case "answer":
        return this.#description(input.kind, input.pake, input.remote);
      case "candidate":
        return this.#candidate(fromPake(input.pake));
      case "timedOut":
        if (this.#stage === "done") return NOTHING;
        return this.#exchange.isMandatory
          ? this.#refuse("timedOut")
          : this.#decide({ kind: "unavailable" });
    }
  }

  #description(kind: "offer" | "answer", pake: unknown, remote: Fingerprint | null): Step {
    const fault = this.#certificateFault(remote);
    if (fault || remote === null) return this.#refuse(fault ?? "noFingerprint", kind);
    if (this.#stage === "done" || this.#stage === "awaitsConfirmation") return NOTHING;
    if (this.#stage !== (kind === "offer" ? "awaitsOffer" : "awaitsAnswer")) {
      return this.#refuse("outOfOrder", kind);
    }

    if (pake === undefined || pake === null) {
      return this.#exchange.isMandatory
        ? this.#refuse("missing", kind)
        : this.#decide({ kind: "unavailable" });
    }
    const message = fromPake(pake);
    if (!message) return this.#refuse("malformed", kind);
    return kind === "offer"
      ? this.#firstOffer(message, remote)
      : this.#firstAnswer(message, remote);
  }

  #firstOffer(message: Message, remote: Fingerprint): Step {
    const answer = this.#exchange.answer(message, remote);
    if (typeof answer === "string") return this.#refuse(answer, "offer");
    this.#stage = "awaitsConfirmation";
    return { send: { carrier: "answer", pake: toPake(answer) }, outcome: null };
  }

  #firstAnswer(message: Message, remote: Fingerprint): Step {
    const third = this.#exchange.confirm(message, remote);
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
  #candidate(message: Message | null): Step {
    if (!message) return this.#refuse("malformed");
    const json = JSON.stringify(toPake(message));
    if (this.#stage === "done" && this.#accepted === json) return NOTHING;
    if (this.#stage !== "awaitsConfirmation") return this.#refuse("outOfOrder");

    const outcome = this.#exchange.end(message);
    if (typeof outcome === "string") return this.#refuse(outcome);
    this.#accepted = json;
    return this.#decide(outcome);
  }

  #decide(outcome: Outcome): Step {
    this.#stage = "done";
    this.#outcome = outcome;
    return { send: null, outcome };
  }

  /** Ends in a mismatch and sees to it that the partner does, too. */
  #refuse(reason: Mismatch, cause?: "offer" | "answer"): Step {
    const carrier = cause === "offer" && this.#stage === "awaitsOffer" ? "answer" : "candidate";
    const step = this.#decide({ kind: "mismatch", reason });
    return { ...step, send: { carrier, pake: toPake(this.#exchange.refusal()) } };
  }
}
