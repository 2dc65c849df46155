// Which peer connection of a call a signal belongs to: the partner may put a fresh one into the place of
// one that it cannot use any more (docs/protocol.md, "A fresh connection").

/** How many fresh connections are taken at once, and then one in this time, in ms. */
export const MAX_AT_ONCE = 6;
export const EVERY_MS = 10_000;

/** `past`: of a connection that is gone, or of none. `tooMany`: more than an honest partner needs. */
export type Place = "present" | "fresh" | "past" | "tooMany";

export class FreshConnections {
  /** The number of the present connection. */
  number = 0;
  #left = MAX_AT_ONCE;
  #countedMs = 0;

  /** Where a signal with this number belongs. Only an offer begins a fresh connection. */
  place(number: number | undefined, isOffer: boolean, nowMs: number): Place {
    const asked = number ?? 0;
    if (asked === this.number) return "present";
    if (asked < this.number || !isOffer) return "past";

    const grown = (nowMs - this.#countedMs) / EVERY_MS;
    this.#left = Math.min(MAX_AT_ONCE, this.#left + grown);
    this.#countedMs = nowMs;
    if (this.#left < 1) return "tooMany";
    this.#left -= 1;
    this.number = asked;
    return "fresh";
  }
}
