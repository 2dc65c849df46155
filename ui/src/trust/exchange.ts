// What the moves of a handshake are, without their order: both methods, the code and safety words,
// are one of these.

import { type Fingerprint, normalized } from "./fingerprint";
import type { Message } from "./message";

/** The side to which the server says `initiator: true` makes the offer. */
export type Role = "offerer" | "answerer";

/** What both methods bind in. */
export interface Session {
  /** The session's id, as the server gave it. */
  id: string;
  role: Role;
  /** This side's certificate. */
  local: Fingerprint;
}

/** The session with its certificate in its one spelling. Throws if it is none. */
export function checked(session: Session): Session {
  const local = normalized(session.local);
  if (local === null) throw new Error("the certificate's fingerprint");
  return { ...session, local };
}

/** Throws unless these are 32 bytes: fewer are not random enough. */
export function checkRandom(random: Uint8Array): void {
  if (random.length !== 32) throw new Error("32 random bytes");
}

/** The certificates of both ends of a connection. */
interface Certificates {
  local: Fingerprint;
  remote: Fingerprint;
}

/** What a handshake has found out: `Outcome` in handshake.rs. */
export type Outcome =
  | ({ kind: "verified" } & Certificates)
  | ({ kind: "words"; words: string } & Certificates)
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
