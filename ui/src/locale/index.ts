// The words of the page. Another language is another file of the same shape.

import { en } from "./en";
import type { Code, Words } from "./errors.en";

export type { Code };
export const words = en;

/**
 * What to say about a code. A code that this version of the page doesn't know gets general words.
 */
export function wordsFor(code: Code): Words {
  const known: Record<string, Words> = words.errors;
  return Object.hasOwn(known, code) ? (known[code] as Words) : words.unknownError;
}

/** The same where the call is at another server than that of the settings. */
export function wordsElsewhere(code: Code): Words {
  const general = wordsFor(code);
  const todo = words.todoElsewhere[code];
  return todo === undefined ? general : { ...general, todo };
}
