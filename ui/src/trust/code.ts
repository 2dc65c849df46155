// The code of an invite as the key: CPace over its two words, and a confirmation by each side. The
// twin of src-tauri/trust/src/code.rs.

import { type Bytes, equal, lvCat, utf8 } from "./bytes";
import * as cpace from "./cpace";
import type { Exchange, Mismatch, Outcome, Session } from "./exchange";
import { bound, type Fingerprint } from "./fingerprint";
import type { Message } from "./message";

/** The code of an invite. */
export interface Code {
  /** The number, as the link has it: `7`. */
  room: string;
  /** The two words, as the link has them: `garden-lantern`. */
  words: string;
}

/** The exchange of one side. Throws if the random bytes are all zero. */
export class CodeExchange implements Exchange {
  readonly isMandatory = true;
  testedAGuess = false;
  readonly #session: Session;
  readonly #secret: cpace.Secret;
  #awaited: { key: Bytes; side: cpace.Public; remote: Fingerprint } | null = null;

  constructor(code: Code, session: Session, random: Bytes) {
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
