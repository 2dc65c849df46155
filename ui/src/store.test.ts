import { describe, expect, it, vi } from "vitest";

import type { AppState, StateChange } from "./generated/contract";
import { Store } from "./store";
import { makeState } from "./testing/states";

const named = (revision: number, name: string): AppState => {
  const state = makeState();
  return { ...state, revision, settings: { ...state.settings, name } };
};
const change = (revision: number, name: string): StateChange => ({
  revision,
  changes: { settings: named(0, name).settings },
});

/** A store for which the test answers each fetch of a snapshot. */
function make() {
  const fetches: { answer: (state: AppState) => void; fail: () => void }[] = [];
  const reachable = vi.fn();
  const store = new Store({
    fetch: () =>
      new Promise((answer, fail) => {
        fetches.push({ answer, fail });
      }),
    onReachable: reachable,
    wait: () => Promise.resolve(),
  });
  const seen: string[] = [];
  store.subscribe(({ revision, settings }) => seen.push(`${revision} ${settings.name}`));
  const settle = () => new Promise((done) => setTimeout(done, 0));
  return { store, fetches, reachable, seen, settle };
}

describe("the store", () => {
  it("shows a snapshot and then each change in order", async () => {
    const { store, fetches, seen, settle } = make();
    void store.refetch();
    fetches[0]?.answer(named(7, "first"));
    await settle();
    store.change(change(8, "second"));
    store.change(change(9, "third"));
    expect(seen).toEqual(["7 first", "8 second", "9 third"]);
    expect(fetches).toHaveLength(1);
  });

  it("keeps what a change does not mention", async () => {
    const { store, fetches, settle } = make();
    void store.refetch();
    fetches[0]?.answer(named(1, "kept"));
    await settle();
    store.change({ revision: 2, changes: { preview: { status: "failed" } } });
    expect(store.state?.settings.name).toBe("kept");
    expect(store.state?.preview.status).toBe("failed");
  });

  it("ignores changes that the snapshot already contains", async () => {
    const { store, fetches, seen, settle } = make();
    void store.refetch();
    fetches[0]?.answer(named(7, "newest"));
    await settle();
    store.change(change(6, "old"));
    store.change(change(7, "same"));
    expect(seen).toEqual(["7 newest"]);
    expect(fetches).toHaveLength(1);
  });

  it("fetches the whole state when it missed a revision, and never shows the gap", async () => {
    const { store, fetches, seen, settle } = make();
    void store.refetch();
    fetches[0]?.answer(named(1, "first"));
    await settle();
    store.change(change(3, "third"));
    expect(fetches).toHaveLength(2);
    expect(seen).toEqual(["1 first"]);
    fetches[1]?.answer(named(3, "whole"));
    await settle();
    expect(seen).toEqual(["1 first", "3 whole"]);
  });

  it("applies changes that arrive during a fetch, in the order of revisions", async () => {
    const { store, fetches, seen, settle } = make();
    void store.refetch();
    store.change(change(6, "six"));
    store.change(change(5, "five"));
    store.change(change(3, "three"));
    fetches[0]?.answer(named(4, "four"));
    await settle();
    expect(seen).toEqual(["6 six"]);
    expect(fetches).toHaveLength(1);
  });

  it("fetches again when those changes do not fit the snapshot", async () => {
    const { store, fetches, seen, settle } = make();
    void store.refetch();
    store.change(change(9, "nine"));
    fetches[0]?.answer(named(4, "four"));
    await settle();
    expect(fetches).toHaveLength(2);
    fetches[1]?.answer(named(9, "whole"));
    await settle();
    expect(seen).toEqual(["4 four", "9 whole"]);
  });

  it("runs one fetch at a time", () => {
    const { store, fetches } = make();
    void store.refetch();
    void store.refetch();
    store.change(change(4, "any"));
    expect(fetches).toHaveLength(1);
  });

  it("retries until the app answers, and reports that it does not", async () => {
    const { store, fetches, reachable, settle } = make();
    const done = store.refetch();
    fetches[0]?.fail();
    await settle();
    fetches[1]?.fail();
    await settle();
    expect(reachable.mock.calls).toEqual([[false], [false]]);
    fetches[2]?.answer(named(1, "there"));
    await done;
    expect(reachable).toHaveBeenLastCalledWith(true);
    expect(store.state?.revision).toBe(1);
  });

  it("does not call a listener that unsubscribed", async () => {
    const { store, fetches, settle } = make();
    const listener = vi.fn();
    store.subscribe(listener)();
    void store.refetch();
    fetches[0]?.answer(named(1, "any"));
    await settle();
    expect(listener).not.toHaveBeenCalled();
  });
});
