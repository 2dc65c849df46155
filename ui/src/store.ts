// The app's state as the page knows it: one snapshot, then each change in the order of revisions.

import type { AppState, StateChange } from "./generated/contract";

type Listener = (state: AppState) => void;

/** The wait between attempts to get a snapshot. */
const RETRY_MS = 500;

/** Changes kept while a snapshot is on its way. With more, the page fetches the state again. */
const MAX_PENDING = 256;

export interface StoreOptions {
  /** Fetches the whole state from the app. */
  fetch: () => Promise<AppState>;
  /** Called when the app doesn't answer, and when it answers again. */
  onReachable?: (reachable: boolean) => void;
  wait?: (ms: number) => Promise<void>;
}

/**
 * Follows the app. A change applies only to the revision before it. When the store missed one, it
 * fetches the whole state again, keeps the changes that arrive meanwhile and applies them on top.
 */
export class Store {
  #state: AppState | undefined;
  #pending: StateChange[] = [];
  #fetching: Promise<void> | undefined;
  readonly #listeners = new Set<Listener>();
  readonly #fetch: () => Promise<AppState>;
  readonly #onReachable: (reachable: boolean) => void;
  readonly #wait: (ms: number) => Promise<void>;

  constructor({ fetch, onReachable, wait }: StoreOptions) {
    this.#fetch = fetch;
    this.#onReachable = onReachable ?? (() => undefined);
    this.#wait = wait ?? ((ms) => new Promise((done) => setTimeout(done, ms)));
  }

  /** The newest state; `undefined` before the first snapshot. */
  get state(): AppState | undefined {
    return this.#state;
  }

  /** Calls `listener` with each new state. Returns a function that stops it. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Fetches the whole state, and again until the app answers. One fetch runs at a time. */
  refetch(): Promise<void> {
    this.#fetching ??= this.#load().finally(() => {
      this.#fetching = undefined;
      // A change may have arrived that doesn't fit what was fetched.
      if (this.#pending.length > 0) void this.refetch();
    });
    return this.#fetching;
  }

  /** Takes a change from the app. */
  change(change: StateChange): void {
    if (this.#fetching) {
      if (this.#pending.length >= MAX_PENDING) this.#pending.shift();
      this.#pending.push(change);
      return;
    }
    const revision = this.#state?.revision;
    if (revision !== undefined && change.revision <= revision) return;
    if (revision === undefined || change.revision !== revision + 1) {
      this.#pending.push(change);
      void this.refetch();
      return;
    }
    this.#state = { ...(this.#state as AppState), ...change.changes, revision: change.revision };
    this.#notify();
  }

  async #load(): Promise<void> {
    for (;;) {
      const state = await this.#fetch().catch(() => undefined);
      if (state) {
        this.#onReachable(true);
        this.#take(state);
        return;
      }
      this.#onReachable(false);
      await this.#wait(RETRY_MS);
    }
  }

  /** Takes a snapshot, and those of the pending changes that follow it without a gap. */
  #take(snapshot: AppState): void {
    const pending = this.#pending.sort((a, b) => a.revision - b.revision);
    this.#pending = [];
    let state = snapshot;
    for (const change of pending) {
      if (change.revision <= state.revision) continue;
      if (change.revision === state.revision + 1)
        state = { ...state, ...change.changes, revision: change.revision };
      else this.#pending.push(change);
    }
    this.#state = state;
    this.#notify();
  }

  #notify(): void {
    const state = this.#state;
    if (state) for (const listener of this.#listeners) listener(state);
  }
}
