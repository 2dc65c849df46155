// The words of the page. Another language is another file of the same shape.

import { en } from "./en";
import type { Words } from "./errors.en";

export const words = en;

/** What to say about a code; never nothing. */
export function wordsFor(code: string): Words {
  return Object.hasOwn(words.errors, code) ? (words.errors[code] as Words) : words.unknownError;
}
