// Text from other people. It is shown as text (never markup), isolated from the text around it, and
// without characters that affect anything but themselves.

/** Control characters, line breaks among them. */
const CONTROLS = /[\p{Cc}\u2028\u2029]+/gu;

/** Invisible characters that change the direction of the text after them. */
const BIDI_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

/**
 * Anything but spaces and invisible characters. The last ranges are blank though no property says so;
 * `signaling/src/message/limits.rs` has the same and says what they are.
 */
const SEEN =
  /[^\u{16fe4}\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Cc}\u2800\ufff9-\ufffb\u{13430}-\u{13442}\u{1d159}]/u;

/** A letter with more than three marks draws over the lines above and below it. */
const STACKED_MARKS = /(\p{M}{3})\p{M}+/gu;

/** `text` on one line, without characters that affect others, at most `limit` code points long. */
export function plain(text: string, limit = 120): string {
  const line = text
    .replace(BIDI_CONTROLS, "")
    .replace(CONTROLS, " ")
    .replace(STACKED_MARKS, "$1")
    .replace(/\s+/gu, " ")
    .trim();
  const points = Array.from(line);
  return points.length > limit ? `${points.slice(0, limit - 1).join("")}…` : line;
}

/** Whether `text` has a character that somebody can see. */
export const canBeSeen = (text: string): boolean => SEEN.test(text);

/**
 * The profile picture if it is embedded pixels; `null` for a URL, because fetching it would
 * reveal this machine's address, and for formats that can hold code.
 */
export function safePicture(picture: string | null): string | null {
  const embedded = /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$/u;
  return picture !== null && embedded.test(picture) ? picture : null;
}

/** The letter that stands for a person without a profile picture; empty if the name has none. */
export function initial(name: string): string {
  const first = Array.from(plain(name)).find((point) => /[\p{L}\p{N}]/u.test(point));
  return first?.toLocaleUpperCase() ?? "";
}

/** A server as people know it: its origin without what all servers have. */
export function serverName(origin: string): string {
  return plain(origin.replace(/^wss:\/\/(.*?)(:443)?$/, "$1"), 80);
}
