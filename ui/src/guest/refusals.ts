// How the server turns a guest away.

import type { EndReason } from "./call-events";

/** The close codes of a client that the operator ended: see `docs/protocol.md`. */
export const BANNED = 4005;
export const KICKED = 4006;

/** How a search ends with an error, by its code. */
export const REFUSALS = new Map<string, EndReason>([
  ["no_such_room", "unknownCode"],
  ["declined", "declined"],
  ["no_answer", "noAnswer"],
  ["queue_full", "busy"],
  ["rate_limited", "busy"],
]);
