// The fingerprint of a DTLS certificate, as descriptions carry it (RFC 8122 §5).

import { type Bytes, concat, utf8 } from "./bytes";

const VALUE = /^sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})$/iu;
const PREFIX = "a=fingerprint:";

/** In one spelling: `sha-256 0A:1B:…`. */
export type Fingerprint = string;

/** A fingerprint in its one spelling; `null` if it is no SHA-256 digest. */
function parse(value: string): Fingerprint | null {
  const digits = VALUE.exec(value)?.[1];
  return digits === undefined ? null : `sha-256 ${digits.toUpperCase()}`;
}

/**
 * The one certificate that this session description (SDP) names, however many of its sections repeat
 * it. `null` when it names none or several, or when any line has the word in it and is not exactly a
 * fingerprint: another parser might read that line differently.
 */
export function fingerprintIn(sdp: string): Fingerprint | null {
  const lines = sdp.split(/[\r\n]/u).filter((line) => /fingerprint/iu.test(line));
  const all = lines.map((line) =>
    line.startsWith(PREFIX) ? parse(line.slice(PREFIX.length)) : null,
  );
  const [first = null] = all;
  return all.every((one) => one === first) ? first : null;
}

/** What the handshakes bind in: `sha-256`, a space, and the digest's 32 bytes. */
export function bound(fingerprint: Fingerprint): Bytes {
  const pairs = fingerprint.slice("sha-256 ".length).split(":");
  return concat(
    utf8("sha-256 "),
    Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16)),
  );
}
