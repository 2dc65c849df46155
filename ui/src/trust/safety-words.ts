// Safety words: four words that both sides show and the two people compare. The twin of
// src-tauri/trust/src/safety_words.rs. The guest page needs none of this: guests come by an invite.

import { type Bytes, equal, hash, lvCat, utf8 } from "./bytes";
import {
  checked,
  checkRandom,
  type Exchange,
  type Mismatch,
  type Outcome,
  type Session,
} from "./exchange";
import { bound, type Fingerprint } from "./fingerprint";
import type { Message } from "./message";
import { WORDS } from "./words";

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

/** What the offerer commits to its nonce with. */
export function commitment(session: Bytes, offerer: Side): Bytes {
  const domain = utf8("tandem safety words 1 commitment");
  const text = lvCat(domain, session, bound(offerer.fingerprint), offerer.nonce);
  return hash(text).slice(0, 32);
}

/** The exchange of one side. Throws unless the random bytes are 32, and not all zero. */
export class WordsExchange implements Exchange {
  readonly isMandatory = false;
  readonly testedAGuess = false;
  readonly #session: Session;
  readonly #id: Bytes;
  readonly #nonce: Bytes;
  #awaited: { commitment: Bytes; remote: Fingerprint } | null = null;

  constructor(session: Session, random: Bytes) {
    checkRandom(random);
    if (random.every((byte) => byte === 0)) throw new Error("the random bytes are all zero");
    this.#session = checked(session);
    this.#id = utf8(session.id);
    this.#nonce = random.slice();
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
      outcome: { kind: "words", words, local: this.#session.local, remote },
    };
  }

  end(candidate: Message): Outcome | Mismatch {
    if (candidate.kind !== "open" || !this.#awaited) return "outOfOrder";
    const { remote } = this.#awaited;
    const partner = { fingerprint: remote, nonce: candidate.value };
    if (!equal(commitment(this.#id, partner), this.#awaited.commitment)) return "wrongConfirmation";
    const words = safetyWords(this.#id, partner, this.#local());
    return { kind: "words", words, local: this.#session.local, remote };
  }

  refusal(): Message {
    const text = lvCat(utf8("tandem safety words 1 refusal"), this.#nonce);
    return { kind: "open", value: hash(text).slice(0, 32) };
  }

  #local(): Side {
    return { fingerprint: this.#session.local, nonce: this.#nonce };
  }
}
