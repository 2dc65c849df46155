// How the server turns a guest away.

import type { EndReason } from "./call-events";

/** Why the server has ended a client for good, by the close code: see `docs/protocol.md`. */
export const EXPELLED = new Map<number | undefined, EndReason>([
  [4005, "banned"],
  [4006, "kicked"],
]);

/** How a search ends with an error, by its code. */
export const REFUSALS = new Map<string, EndReason>([
  ["no_such_room", "unknownCode"],
  ["declined", "declined"],
  ["no_answer", "noAnswer"],
  ["queue_full", "busy"],
  ["rate_limited", "busy"],
]);
