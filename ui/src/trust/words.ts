// The words of invites and of safety words: the list of src-tauri/trust.

import text from "../../../src-tauri/trust/src/words.txt?raw";

/** 2,048 words, sorted: each stands for 11 bits. */
export const WORDS: readonly string[] = text.trimEnd().split(/\r?\n/u);
