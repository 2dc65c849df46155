// The code of an invite as the key: CPace over its two words, and a confirmation by each side. The
// twin of src-tauri/trust/src/code.rs.

import { type Bytes, equal, lvCat, utf8 } from "./bytes";
import * as cpace from "./cpace";
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

/** The code of an invite. */
export interface Code {
  /** The number, as the link has it: `7`. */
  room: string;
  /** The two words, as the link has them: `garden-lantern`. */
  words: string;
  /** Which end of the invite this side is. Only an inviter and a guest verify each other. */
  party: Party;
}

/** Made the invite, or was given it. */
export type Party = "inviter" | "guest";

/** The exchange of one side. Throws unless the random bytes are 32, and not all zero. */
export class CodeExchange implements Exchange {
  readonly isMandatory = true;
  testedAGuess = false;
  readonly #session: Session;
  readonly #secret: cpace.Secret;
  #awaited: { key: Bytes; side: cpace.Public; remote: Fingerprint } | null = null;

  constructor(code: Code, session: Session, random: Bytes) {
    checkRandom(random);
    this.#session = checked(session);
    const partner = code.party === "inviter" ? "guest" : "inviter";
    const offerer = session.role === "offerer" ? code.party : partner;
    const inputs = {
      password: utf8(code.words),
      channel: lvCat(utf8("tandem call by code 1"), utf8(code.room), utf8(offerer)),
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
    return { send: { kind: "confirm", confirm }, outcome: this.#verified(remote) };
  }

  end(candidate: Message): Outcome | Mismatch {
    if (candidate.kind !== "confirm" || !this.#awaited) return "outOfOrder";
    const { key, side, remote } = this.#awaited;
    const isConfirmed = equal(cpace.confirmation(key, side), candidate.confirm);
    return isConfirmed ? this.#verified(remote) : "wrongConfirmation";
  }

  refusal(): Message {
    return { kind: "confirm", confirm: cpace.refusal(this.#secret) };
  }

  #verified(remote: Fingerprint): Outcome {
    return { kind: "verified", local: this.#session.local, remote };
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
