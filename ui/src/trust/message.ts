// What the moves of a handshake look like on the wire: the object `pake` in an offer, an answer or
// a candidate. The twin of src-tauri/trust/src/message.rs.

import { type Bytes, fromBase64, toBase64 } from "./bytes";
import { CONFIRMATION_BYTES, ELEMENT_BYTES } from "./cpace";

/** One move. The code: `share`, `answer`, `confirm`; safety words: `commit`, `nonce`, `open`. */
export type Message =
  | { kind: "share"; share: Bytes }
  | { kind: "answer"; share: Bytes; confirm: Bytes }
  | { kind: "confirm"; confirm: Bytes }
  | { kind: "commit" | "nonce" | "open"; value: Bytes };

/** The fields of all moves, by their length in bytes. */
const LENGTHS = {
  share: ELEMENT_BYTES,
  confirm: CONFIRMATION_BYTES,
  commit: 32,
  nonce: 32,
  open: 32,
} as const;

type Field = keyof typeof LENGTHS;
const FIELDS = Object.keys(LENGTHS) as Field[];

/** The move as an object for JSON. */
export function toPake(message: Message): Record<string, string> {
  switch (message.kind) {
    case "share":
      return { method: "code", share: toBase64(message.share) };
    case "answer":
      return {
        method: "code",
        share: toBase64(message.share),
        confirm: toBase64(message.confirm),
      };
    case "confirm":
      return { method: "code", confirm: toBase64(message.confirm) };
    default:
      return { method: "words", [message.kind]: toBase64(message.value) };
  }
}

/**
 * Reads a move from the value of `pake`. What is a string is why it is none. Nothing in the value is
 * converted to a string: a hostile one may throw, or be deeper than the stack.
 */
export function fromPake(pake: unknown): Message | "malformed" | "unknownMethod" {
  if (typeof pake !== "object" || pake === null || Array.isArray(pake)) return "malformed";
  const given = pake as Record<string, unknown>;
  const { method } = given;
  if (typeof method !== "string") return "malformed";
  if (method !== "code" && method !== "words") return "unknownMethod";

  const values = new Map<Field, Bytes>();
  for (const field of FIELDS) {
    const text = given[field] ?? null;
    if (text === null) continue;
    const value = typeof text === "string" ? fromBase64(text, LENGTHS[field]) : null;
    if (!value) return "malformed";
    values.set(field, value);
  }
  return byFields(method, values) ?? "malformed";
}

function byFields(method: "code" | "words", values: Map<Field, Bytes>): Message | null {
  const [share, confirm] = [values.get("share"), values.get("confirm")];
  switch (`${method}:${[...values.keys()].join("+")}`) {
    case "code:share":
      return share ? { kind: "share", share } : null;
    case "code:share+confirm":
      return share && confirm ? { kind: "answer", share, confirm } : null;
    case "code:confirm":
      return confirm ? { kind: "confirm", confirm } : null;
    case "words:commit":
    case "words:nonce":
    case "words:open": {
      const [entry] = values;
      return entry ? { kind: entry[0] as "commit" | "nonce" | "open", value: entry[1] } : null;
    }
    default:
      return null;
  }
}
