// Byte strings, as the handshakes hash and send them.

import { sha512 } from "@noble/hashes/sha2.js";

export type Bytes = Uint8Array;

const encoder = new TextEncoder();

/** The text in UTF-8. */
export const utf8 = (text: string): Bytes => encoder.encode(text);

/** One after the other. */
export function concat(...parts: Bytes[]): Bytes {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** SHA-512 of these parts, one after the other. */
export const hash = (...parts: Bytes[]): Bytes => sha512(concat(...parts));

/** The part after its length in LEB128: `prepend_len` of draft-irtf-cfrg-cpace-21, §6.3. */
function prefixed(part: Bytes): Bytes {
  const length: number[] = [];
  let rest = part.length;
  for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return concat(Uint8Array.of(...length, rest), part);
}

/** `lv_cat` of the same section: no two lists of parts give the same bytes. */
export const lvCat = (...parts: Bytes[]): Bytes => concat(...parts.map(prefixed));

/** Whether both are equal. Takes the same time for all contents of one length. */
export function equal(a: Bytes, b: Bytes): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  a.forEach((byte, at) => (difference |= byte ^ (b[at] ?? 0)));
  return difference === 0;
}

/** base64url without padding (RFC 4648 §5). */
export function toBase64(bytes: Bytes): string {
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Exactly `length` bytes, in the one spelling that they have; `null` if it is anything else. */
export function fromBase64(text: string, length: number): Bytes | null {
  if (text.length !== Math.ceil((length * 4) / 3) || !/^[A-Za-z0-9_-]*$/u.test(text)) return null;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  return bytes.length === length && toBase64(bytes) === text ? bytes : null;
}
