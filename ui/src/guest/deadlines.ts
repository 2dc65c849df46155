// How long a guest's call waits, and for what.

/** How long to look for the server before giving up, in ms. */
export const SERVER_TIMEOUT_MS = 15_000;
/** After this time a connection counts as slow, in ms: most take less than a second. */
export const SLOW_MS = 10_000;
/** ICE has tried every route by then, relayed ones included, in ms. */
export const CONNECT_TIMEOUT_MS = 45_000;
/** The partner shows within this time that they know the words, in ms: it takes three messages. */
export const CODE_TIMEOUT_MS = 15_000;
/** A call without media ends after this time, in ms. */
export const LOST_MS = 120_000;
/** The same if the server is out of reach or has dropped the call, in ms. */
export const GONE_MS = 30_000;
/**
 * The server answers within this time, or the way to it is lost, in ms: as long as it took to
 * connect, which is several round trips, but within these bounds.
 */
export const PROBE_MS = [500, 2_000] as const;
/** A silence is shown this long after it was noticed, in ms: many end before. */
export const NOTICE_MS = 1_000;
/** How long one attempt to reach the server may take in a call, in ms: doubled each time, up to the second. */
export const ATTEMPT_MS = [4_000, 16_000] as const;
/** Waits between attempts to reach the server, in ms: doubled up to the second, with full jitter. */
export const BACKOFF_MS = [300, 7_000] as const;

/** What a call waits for. */
export type Deadline =
  | "retry"
  | "server"
  | "ping"
  | "silent"
  | "slow"
  | "connect"
  | "code"
  | "lost"
  | "probe"
  | "attempt"
  | "notice";

export class Deadlines {
  readonly #times = new Map<Deadline, number>();

  /** The next one; `Infinity`: none. */
  get nextMs(): number {
    return Math.min(Infinity, ...this.#times.values());
  }

  /** When this is due; `Infinity`: not at all. */
  of(name: Deadline): number {
    return this.#times.get(name) ?? Infinity;
  }

  set(name: Deadline, atMs: number): void {
    this.#times.set(name, atMs);
  }

  clear(...names: Deadline[]): void {
    for (const name of names) this.#times.delete(name);
  }

  clearAll(): void {
    this.#times.clear();
  }

  /** Whether this is due. Says so once. */
  take(name: Deadline, nowMs: number): boolean {
    return this.of(name) <= nowMs && this.#times.delete(name);
  }
}
