// CPace over ristretto255 with SHA-512: the suite CPACE-RISTR255-SHA512 of draft-irtf-cfrg-cpace-21
// (23 April 2026), in the initiator-responder setting. The twin of src-tauri/trust/src/cpace.rs;
// both are tested with the vectors in tests/vectors, and with each other.

import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha512 } from "@noble/hashes/sha2.js";

import { type Bytes, concat, equal, hash, lvCat, utf8 } from "./bytes";

/** `G.DSI` (§8.3). */
const DOMAIN = utf8("CPaceRistretto255");
/** `H.s_in_bytes` (§6.2). */
const BLOCK_BYTES = 128;

type Point = ReturnType<typeof ristretto255.Point.fromBytes>;

/** Bytes of a share and of a scalar. */
export const ELEMENT_BYTES = 32;
/** Bytes of a confirmation. */
export const CONFIRMATION_BYTES = 64;

/** What both sides must agree on (§4.1). */
export interface Inputs {
  /** The password-related string, `PRS`. */
  password: Bytes;
  /** The channel identifier, `CI`. */
  channel: Bytes;
  /** The session identifier, `sid`. */
  session: Bytes;
}

/** The share of one side and what it has authenticated with it (`ADa`, `ADb`). */
export interface Public {
  share: Bytes;
  data: Bytes;
}

/** The secret of one side, for one exchange (§10.9). */
export interface Secret {
  scalar: Bytes;
  session: Bytes;
  share: Bytes;
}

/** `generator_string` (§8.1). */
export function generatorString({ password, channel, session }: Inputs): Bytes {
  const used = lvCat(DOMAIN, password).length + 1;
  const padding = new Uint8Array(Math.max(0, BLOCK_BYTES - used));
  return lvCat(DOMAIN, password, padding, channel, session);
}

/** `G.calculate_generator` (§8.3), with the element derivation of RFC 9496 §4.3.4. */
export function generator(inputs: Inputs): Point {
  const point = ristretto255_hasher.deriveToCurve?.(hash(generatorString(inputs)));
  if (!point) throw new Error("ristretto255 has an element derivation");
  return point;
}

/**
 * A side's secret, from 32 random bytes, of which 252 bits are used (§8.3). Throws if these are all
 * zero, which means that the source of randomness is broken.
 */
export function secret(inputs: Inputs, random: Bytes): Secret {
  const scalar = random.slice(0, ELEMENT_BYTES);
  scalar[ELEMENT_BYTES - 1] = (scalar[ELEMENT_BYTES - 1] ?? 0) & 0x0f;
  // Throws for zero.
  const share = generator(inputs).multiply(number(scalar)).toBytes();
  return { scalar, session: inputs.session, share };
}

/** `G.scalar_mult_vfy` (§8.3), with `null` for `G.I`. */
export function scalarMultVfy(scalar: Bytes, element: Bytes): Bytes | null {
  let point: Point;
  try {
    point = ristretto255.Point.fromBytes(element);
  } catch {
    return null;
  }
  return point.is0() ? null : point.multiply(number(scalar)).toBytes();
}

/** `transcript_ir` (§6.3). */
export const transcript = (initiator: Public, responder: Public): Bytes =>
  lvCat(initiator.share, initiator.data, responder.share, responder.data);

/**
 * The intermediate session key, `ISK` (§7.2). One of `initiator` and `responder` has this side's
 * share. `null` if the other's is not the encoding of an element, or is the identity.
 */
export function intermediateKey(local: Secret, initiator: Public, responder: Public): Bytes | null {
  const remote = equal(initiator.share, local.share) ? responder.share : initiator.share;
  const point = scalarMultVfy(local.scalar, remote);
  if (!point) return null;
  const secrets = lvCat(concat(DOMAIN, utf8("_ISK")), local.session, point);
  return hash(secrets, transcript(initiator, responder));
}

/** The key that confirms (§10.4). */
export const macKey = (session: Bytes, isk: Bytes): Bytes => hash(utf8("CPaceMac"), session, isk);

/** The confirmation of the side with this share and data (§10.4). */
export const confirmation = (key: Bytes, side: Public): Bytes =>
  hmac(sha512, key, lvCat(side.share, side.data));

/** A confirmation that no key gives. It looks like any other to someone without the secret. */
export const refusal = (local: Secret): Bytes => hmac(sha512, local.scalar, utf8("refusal"));

/** The number that these bytes are in little-endian order. */
function number(bytes: Bytes): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}
