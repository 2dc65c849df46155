// The moves of both methods, without their order. The twin of code.rs and safety_words.rs in
// src-tauri/trust/src.

import { type Bytes, equal, hash, lvCat, utf8 } from "./bytes";
import * as cpace from "./cpace";
import { bound, type Fingerprint } from "./fingerprint";
import type { Message } from "./message";
import { WORDS } from "./words";

/** The side to which the server says `initiator: true` makes the offer. */
export type Role = "offerer" | "answerer";

/** By the code of an invite (`room` is `7`, `words` is `garden-lantern`), or by safety words. */
export type Method = { kind: "code"; room: string; words: string } | { kind: "words" };

/** What both methods bind in. */
export interface Session {
  /** The session's id, as the server gave it. */
  id: string;
  role: Role;
  /** This side's certificate. */
  local: Fingerprint;
}

/** What a handshake has found out: `Outcome` in handshake.rs. */
export type Outcome =
  | { kind: "verified"; remote: Fingerprint }
  | { kind: "words"; words: string; remote: Fingerprint }
  | { kind: "unavailable" }
  | { kind: "mismatch"; reason: Mismatch };

export type Mismatch =
  | "missing"
  | "malformed"
  | "outOfOrder"
  | "noFingerprint"
  | "fingerprintChanged"
  | "reflected"
  | "invalidShare"
  | "wrongConfirmation"
  | "timedOut";

/** The moves of a method. What is a string is a mismatch. */
export interface Exchange {
  /** The first move. */
  offer(): Message;
  /** The second move, after the first. */
  answer(offer: Message, remote: Fingerprint): Message | Mismatch;
  /** The third move and the offerer's outcome, after the second. */
  confirm(answer: Message, remote: Fingerprint): { send: Message; outcome: Outcome } | Mismatch;
  /** The answerer's outcome, after the third move. */
  end(candidate: Message): Outcome | Mismatch;
  /** A third move that the partner will not accept. */
  refusal(): Message;
  /** Whether a partner that does not take part is a mismatch. */
  readonly isMandatory: boolean;
  /** Whether the partner could try a code. */
  readonly testedAGuess: boolean;
}

/** By the code: CPace over its words, and a confirmation by each side. */
export class CodeExchange implements Exchange {
  readonly isMandatory = true;
  testedAGuess = false;
  readonly #session: Session;
  readonly #secret: cpace.Secret;
  #awaited: { key: Bytes; side: cpace.Public; remote: Fingerprint } | null = null;

  constructor(code: { room: string; words: string }, session: Session, random: Bytes) {
    this.#session = session;
    const inputs = {
      password: utf8(code.words),
      channel: lvCat(utf8("tandem call by code 1"), utf8(code.room)),
      session: utf8(session.id),
    };
    this.#secret = cpace.secret(inputs, random);
  }

  offer(): Message {
    return { kind: "share", share: this.#secret.share };
  }

  answer(offer: Message, remote: Fingerprint): Message | Mismatch {
    if (offer.kind !== "share") return "outOfOrder";
    const key = this.#key(offer.share, remote);
    if (typeof key === "string") return key;
    this.testedAGuess = true;
    const side = { share: offer.share, data: bound(remote) };
    this.#awaited = { key, side, remote };
    const confirm = cpace.confirmation(key, this.#local());
    return { kind: "answer", share: this.#secret.share, confirm };
  }

  confirm(answer: Message, remote: Fingerprint): { send: Message; outcome: Outcome } | Mismatch {
    if (answer.kind !== "answer") return "outOfOrder";
    this.testedAGuess = true;
    const key = this.#key(answer.share, remote);
    if (typeof key === "string") return key;
    const expected = cpace.confirmation(key, { share: answer.share, data: bound(remote) });
    if (!equal(expected, answer.confirm)) return "wrongConfirmation";
    const confirm = cpace.confirmation(key, this.#local());
    return { send: { kind: "confirm", confirm }, outcome: { kind: "verified", remote } };
  }

  end(candidate: Message): Outcome | Mismatch {
    if (candidate.kind !== "confirm" || !this.#awaited) return "outOfOrder";
    const { key, side, remote } = this.#awaited;
    const isConfirmed = equal(cpace.confirmation(key, side), candidate.confirm);
    return isConfirmed ? { kind: "verified", remote } : "wrongConfirmation";
  }

  refusal(): Message {
    return { kind: "confirm", confirm: cpace.refusal(this.#secret) };
  }

  #local(): cpace.Public {
    return { share: this.#secret.share, data: bound(this.#session.local) };
  }

  #key(share: Bytes, remote: Fingerprint): Bytes | Mismatch {
    if (equal(share, this.#secret.share)) return "reflected";
    const local = this.#local();
    const partner = { share, data: bound(remote) };
    const isk =
      this.#session.role === "offerer"
        ? cpace.intermediateKey(this.#secret, local, partner)
        : cpace.intermediateKey(this.#secret, partner, local);
    return isk ? cpace.macKey(this.#secret.session, isk) : "invalidShare";
  }
}

/** What safety words depend on, of one side. */
interface Side {
  fingerprint: Fingerprint;
  nonce: Bytes;
}

/** Four words, separated by spaces. */
export function safetyWords(session: Bytes, offerer: Side, answerer: Side): string {
  const domain = utf8("tandem safety words 1");
  const sides = [offerer, answerer].flatMap((side) => [bound(side.fingerprint), side.nonce]);
  const bits = hash(lvCat(domain, session, ...sides))
    .subarray(0, 6)
    .reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  // The first 44 of these 48 bits, most significant first.
  const numbers = [37n, 26n, 15n, 4n].map((below) => Number((bits >> below) & 0x7ffn));
  return numbers.map((number) => WORDS[number] ?? "").join(" ");
}

/** What the offerer commits to its number with. */
export function commitment(session: Bytes, offerer: Side): Bytes {
  const domain = utf8("tandem safety words 1 commitment");
  const text = lvCat(domain, session, bound(offerer.fingerprint), offerer.nonce);
  return hash(text).slice(0, 32);
}

/** By safety words: commit, then reveal. */
export class WordsExchange implements Exchange {
  readonly isMandatory = false;
  readonly testedAGuess = false;
  readonly #session: Session;
  readonly #id: Bytes;
  readonly #nonce: Bytes;
  #awaited: { commitment: Bytes; remote: Fingerprint } | null = null;

  constructor(session: Session, random: Bytes) {
    if (random.every((byte) => byte === 0)) throw new Error("the random bytes are all zero");
    this.#session = session;
    this.#id = utf8(session.id);
    this.#nonce = random.slice(0, 32);
  }

  offer(): Message {
    return { kind: "commit", value: commitment(this.#id, this.#local()) };
  }

  answer(offer: Message, remote: Fingerprint): Message | Mismatch {
    if (offer.kind !== "commit") return "outOfOrder";
    this.#awaited = { commitment: offer.value, remote };
    return { kind: "nonce", value: this.#nonce };
  }

  confirm(answer: Message, remote: Fingerprint): { send: Message; outcome: Outcome } | Mismatch {
    if (answer.kind !== "nonce") return "outOfOrder";
    const words = safetyWords(this.#id, this.#local(), {
      fingerprint: remote,
      nonce: answer.value,
    });
    return {
      send: { kind: "open", value: this.#nonce },
      outcome: { kind: "words", words, remote },
    };
  }

  end(candidate: Message): Outcome | Mismatch {
    if (candidate.kind !== "open" || !this.#awaited) return "outOfOrder";
    const { remote } = this.#awaited;
    const partner = { fingerprint: remote, nonce: candidate.value };
    if (!equal(commitment(this.#id, partner), this.#awaited.commitment)) return "wrongConfirmation";
    return { kind: "words", words: safetyWords(this.#id, partner, this.#local()), remote };
  }

  refusal(): Message {
    const text = lvCat(utf8("tandem safety words 1 refusal"), this.#nonce);
    return { kind: "open", value: hash(text).slice(0, 32) };
  }

  #local(): Side {
    return { fingerprint: this.#session.local, nonce: this.#nonce };
  }
}
