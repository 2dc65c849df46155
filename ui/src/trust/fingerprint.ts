// The fingerprint of a DTLS certificate, as descriptions carry it (RFC 8122 §5).

import { type Bytes, concat, utf8 } from "./bytes";

// Without the flag `i`: with it and `u`, "ſ" is an "s".
const VALUE = /^[Ss][Hh][Aa]-256 ((?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$/u;
const WORD = /[Ff][Ii][Nn][Gg][Ee][Rr][Pp][Rr][Ii][Nn][Tt]/u;
const PREFIX = "a=fingerprint:";

/** `sha-256 0a:1b:…`, in upper or lower case. */
export type Fingerprint = string;

/** A fingerprint in its one spelling, `sha-256 0A:1B:…`; `null` if it is no SHA-256 digest. */
export function normalized(value: Fingerprint): Fingerprint | null {
  const digits = VALUE.exec(value)?.[1];
  return digits === undefined ? null : `sha-256 ${digits.toUpperCase()}`;
}

/**
 * The one certificate that this session description (SDP) names, however many of its sections repeat
 * it. `null` when it names none or several, or when any line has the word in it and is not exactly a
 * fingerprint: another parser might read that line differently.
 */
export function fingerprintIn(sdp: string): Fingerprint | null {
  const lines = sdp.split(/[\r\n]/u).filter((line) => WORD.test(line));
  const all = lines.map((line) =>
    line.startsWith(PREFIX) ? normalized(line.slice(PREFIX.length)) : null,
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
