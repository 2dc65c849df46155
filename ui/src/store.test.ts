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

/** A store whose snapshots the test hands out one by one. */
function make() {
  const asked: { answer: (state: AppState) => void; fail: () => void }[] = [];
  const reachable = vi.fn();
  const store = new Store({
    fetch: () =>
      new Promise((answer, fail) => {
        asked.push({ answer, fail });
      }),
    onReachable: reachable,
    wait: () => Promise.resolve(),
  });
  const seen: string[] = [];
  store.subscribe(({ revision, settings }) => seen.push(`${revision} ${settings.name}`));
  const settle = () => new Promise((done) => setTimeout(done, 0));
  return { store, asked, reachable, seen, settle };
}

describe("the store", () => {
  it("shows a snapshot and then each change in order", async () => {
    const { store, asked, seen, settle } = make();
    void store.refetch();
    asked[0]?.answer(named(7, "first"));
    await settle();
    store.change(change(8, "second"));
    store.change(change(9, "third"));
    expect(seen).toEqual(["7 first", "8 second", "9 third"]);
    expect(asked).toHaveLength(1);
  });

  it("keeps what a change does not mention", async () => {
    const { store, asked, settle } = make();
    void store.refetch();
    asked[0]?.answer(named(1, "kept"));
    await settle();
    store.change({ revision: 2, changes: { preview: { status: "failed" } } });
    expect(store.state?.settings.name).toBe("kept");
    expect(store.state?.preview.status).toBe("failed");
  });

  it("ignores changes that the snapshot already holds", async () => {
    const { store, asked, seen, settle } = make();
    void store.refetch();
    asked[0]?.answer(named(7, "newest"));
    await settle();
    store.change(change(6, "old"));
    store.change(change(7, "same"));
    expect(seen).toEqual(["7 newest"]);
    expect(asked).toHaveLength(1);
  });

  it("asks for everything again when a revision was missed, and never shows the gap", async () => {
    const { store, asked, seen, settle } = make();
    void store.refetch();
    asked[0]?.answer(named(1, "first"));
    await settle();
    store.change(change(3, "third"));
    expect(asked).toHaveLength(2);
    expect(seen).toEqual(["1 first"]);
    asked[1]?.answer(named(3, "whole"));
    await settle();
    expect(seen).toEqual(["1 first", "3 whole"]);
  });

  it("applies what came while a snapshot was on its way, in the order of revisions", async () => {
    const { store, asked, seen, settle } = make();
    void store.refetch();
    store.change(change(6, "six"));
    store.change(change(5, "five"));
    store.change(change(3, "three"));
    asked[0]?.answer(named(4, "four"));
    await settle();
    expect(seen).toEqual(["6 six"]);
    expect(asked).toHaveLength(1);
  });

  it("asks once more when what came meanwhile does not fit the snapshot", async () => {
    const { store, asked, seen, settle } = make();
    void store.refetch();
    store.change(change(9, "nine"));
    asked[0]?.answer(named(4, "four"));
    await settle();
    expect(asked).toHaveLength(2);
    asked[1]?.answer(named(9, "whole"));
    await settle();
    expect(seen).toEqual(["4 four", "9 whole"]);
  });

  it("has one question on its way at a time", () => {
    const { store, asked } = make();
    void store.refetch();
    void store.refetch();
    store.change(change(4, "any"));
    expect(asked).toHaveLength(1);
  });

  it("tries again until the app answers, and says that it does not", async () => {
    const { store, asked, reachable, settle } = make();
    const done = store.refetch();
    asked[0]?.fail();
    await settle();
    asked[1]?.fail();
    await settle();
    expect(reachable.mock.calls).toEqual([[false], [false]]);
    asked[2]?.answer(named(1, "there"));
    await done;
    expect(reachable).toHaveBeenLastCalledWith(true);
    expect(store.state?.revision).toBe(1);
  });

  it("tells nothing to a listener that has gone", async () => {
    const { store, asked, settle } = make();
    const listener = vi.fn();
    store.subscribe(listener)();
    void store.refetch();
    asked[0]?.answer(named(1, "any"));
    await settle();
    expect(listener).not.toHaveBeenCalled();
  });
});
