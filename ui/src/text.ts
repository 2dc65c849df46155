// Text that comes from other people. It is shown as text (never markup), isolated from the text around it, and without
// characters that would change anything but themselves.

import { h, type ElementNode } from "./dom/node";

/** Control characters, line breaks among them. */
const CONTROLS = /[\p{Cc}\u2028\u2029]+/gu;

/** Invisible characters that turn the direction of the text after them. */
const TURNS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

/** More marks than this on one letter only serve to draw over what stands above and below it. */
const STACKED_MARKS = /(\p{M}{3})\p{M}+/gu;

/** `text` on one line, without characters that act on others, at most `limit` code points long. */
export function plain(text: string, limit = 120): string {
  const line = text.replace(TURNS, "").replace(CONTROLS, " ").replace(STACKED_MARKS, "$1").replace(/\s+/gu, " ").trim();
  const points = Array.from(line);
  return points.length > limit ? `${points.slice(0, limit - 1).join("")}…` : line;
}

/** Foreign text in an element of its own direction. */
export function foreign(text: string, limit?: number): ElementNode {
  return h("bdi", { class: "foreign" }, plain(text, limit));
}

/** The picture, if it is one that stays on this machine: no address to fetch, and no document that could hold code. */
export function safePicture(picture: string | null): string | null {
  return picture !== null && /^data:image\/(?:png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$/u.test(picture)
    ? picture
    : null;
}

/** The letter that stands for a person without a picture. */
export function initial(name: string): string {
  const first = Array.from(plain(name)).find((point) => /[\p{L}\p{N}]/u.test(point));
  return first?.toLocaleUpperCase() ?? "";
}
