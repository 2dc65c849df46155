// The attempts to reach the server: how long each may take, and when the next one begins.

import { ATTEMPT_MS, BACKOFF_MS, PROBE_MS } from "./deadlines";

export class Attempts {
  #failed = 0;
  #sinceMs = 0;
  /** How long the server may take to answer, in ms. */
  probeMs: number = PROBE_MS[0];

  /** An attempt begins. Returns how long it may take, in ms. */
  begin(nowMs: number): number {
    const [first, longest] = ATTEMPT_MS;
    this.#sinceMs = nowMs;
    return Math.min(longest, first * 2 ** Math.max(0, this.#failed - 1));
  }

  /** The server has registered this client. */
  succeeded(nowMs: number): void {
    const [least, most] = PROBE_MS;
    this.#failed = 0;
    this.probeMs = Math.min(most, Math.max(least, nowMs - this.#sinceMs));
  }

  /** There is no connection. Returns how long to wait for the next attempt, in ms; `random` is from 0 to 1. */
  failed(random: number): number {
    const [first, longest] = BACKOFF_MS;
    const limit = Math.min(longest, first * 2 ** this.#failed);
    this.#failed += 1;
    return random * limit;
  }
}
