// The STUN and TURN servers of a guest's calls, and when to ask for fresh credentials: without a clock.
// A call keeps what it has of a TURN server after its credentials have expired; a new route needs others.

/** Ask for fresh credentials after this fraction of their lifetime. */
const RENEW_AT = 0.75;
/** Never ask more often, however short their lifetime, in ms. */
const MIN_MS = 5_000;
/** Ask again after this long without an answer, in ms. */
const RETRY_MS = 10_000;
/** A longer lifetime is a mistake, or means that they never expire, in s. */
const MAX_TTL_S = 365 * 24 * 3_600;

export class IceServers {
  list: RTCIceServer[] = [];
  #isInCall = false;
  /** When to ask; `Infinity`: not at all. */
  deadlineMs = Infinity;

  /** The server has registered this client, once more in a call that goes on. */
  registered(servers: RTCIceServer[], nowMs: number): void {
    this.list = servers;
    if (this.#isInCall) this.#renewAfter(null, nowMs);
  }

  /** A call begins, with servers of its own, if there are any, that are good for `ttlS`, if that is known. */
  found(servers: RTCIceServer[] | null, ttlS: number | null, nowMs: number): void {
    this.#isInCall = true;
    if (servers) this.list = servers;
    this.#renewAfter(servers && ttlS, nowMs);
  }

  /** The server has answered. */
  fresh(servers: RTCIceServer[], ttlS: number, nowMs: number): void {
    this.list = servers;
    if (this.#isInCall) this.#renewAfter(ttlS, nowMs);
  }

  /** The server is away: it is asked once it is back. */
  lost(): void {
    this.deadlineMs = Infinity;
  }

  ended(): void {
    this.#isInCall = false;
    this.deadlineMs = Infinity;
  }

  /** Whether to ask now. */
  isDue(nowMs: number): boolean {
    if (this.deadlineMs > nowMs) return false;
    this.deadlineMs = nowMs + RETRY_MS;
    return true;
  }

  /** `ttlS` is `null` if the lifetime isn't known: the answer says it. */
  #renewAfter(ttlS: number | null, nowMs: number): void {
    const expires = this.list.some(({ credential }) => credential !== undefined);
    const ms = ttlS === null ? 0 : Math.min(ttlS, MAX_TTL_S) * 1_000 * RENEW_AT;
    this.deadlineMs = expires ? nowMs + Math.max(MIN_MS, ms) : Infinity;
  }
}
