// The whole page before a backend that the test plays.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { App } from "./app";
import type { Backend } from "./backend";
import type { AppState, CommandError, StateChange } from "./generated/contract";
import { words } from "./locale";
import { makeCall, makeState } from "./testing/states";

const settle = () => new Promise((done) => setTimeout(done, 0));
const screenName = () => document.querySelector("main")?.dataset.screen;
const action = (name: string) => document.querySelector<HTMLButtonElement>(`[data-action="${name}"]`);

class FakeApp implements Backend {
  readonly calls: [string, unknown][] = [];
  refusal: CommandError | undefined;
  snapshot: () => Promise<AppState> = () => Promise.resolve(this.current);
  tell: (change: StateChange) => void = () => undefined;
  level: (level: number) => void = () => undefined;

  constructor(public current: AppState) {}

  send = vi.fn((name: string, args: unknown) => {
    this.calls.push([name, args]);
    return Promise.resolve(this.refusal);
  });
  state = () => this.snapshot();
  frameSocket = () => Promise.reject(new Error("no pictures in this test"));
  onStateChanged = (listener: (change: StateChange) => void) => {
    this.tell = listener;
    return Promise.resolve();
  };
  onMicrophoneLevel = (listener: (level: number) => void) => {
    this.level = listener;
    return Promise.resolve();
  };
  change(changes: StateChange["changes"]) {
    this.current = { ...this.current, ...changes, revision: this.current.revision + 1 };
    this.tell({ revision: this.current.revision, changes });
  }
}

async function start(state = makeState()): Promise<FakeApp> {
  const backend = new FakeApp(state);
  const root = document.getElementById("app");
  if (!root) throw new Error("no root");
  await new App(root, backend).start();
  return backend;
}

beforeEach(() => {
  document.body.innerHTML = '<div id="app"></div><div id="announcer" role="status"></div>';
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the page", () => {
  it("comes back to the same picture when it is loaded in the middle of a call", async () => {
    await start(makeState({ screen: makeCall({ muted: true }) }));
    expect(screenName()).toBe("in-call");
    expect(action("mute")?.hasAttribute("data-off")).toBe(true);
  });

  it("follows the app from screen to screen, and takes the focus along", async () => {
    const backend = await start();
    expect(document.activeElement, "at the start nobody has gone anywhere").toBe(document.body);
    backend.change({ screen: { kind: "waiting", room: null, startedAtMs: Date.now() } });
    expect(screenName()).toBe("waiting");
    expect(document.activeElement?.id).toBe("heading");
    expect(document.getElementById("announcer")?.textContent).toBe(words.announce.waiting);
    backend.change({ screen: makeCall() });
    expect(document.title).toBe("Amara – Tandem");
    backend.change({ screen: { kind: "lobby" } });
    expect(document.title).toBe("Tandem");
  });

  it("says when the app does not answer, and goes on when it does", async () => {
    const backend = new FakeApp(makeState());
    const real = backend.snapshot;
    backend.snapshot = () => Promise.reject(new Error("away"));
    const root = document.getElementById("app") as HTMLElement;
    const started = new App(root, backend).start();
    await settle();
    expect(document.querySelector("[data-problem=APP_UNREACHABLE]")).not.toBeNull();
    backend.snapshot = real;
    await started;
    expect(screenName()).toBe("lobby");
    expect(document.querySelector("[data-problem=APP_UNREACHABLE]")).toBeNull();
  });

  it("hands over the name before it searches, and keeps one that is refused", async () => {
    const backend = await start();
    const name = document.querySelector<HTMLInputElement>("#name") as HTMLInputElement;
    name.value = "x".repeat(50);
    name.dispatchEvent(new Event("input"));
    backend.refusal = { code: "BAD_NAME", detail: null };
    action("find-partner")?.click();
    expect(backend.calls.map(([command]) => command)).toEqual(["set_name", "find_partner"]);
    await settle();
    expect(document.querySelector("[data-problem=BAD_NAME]")).not.toBeNull();
    expect(name.value).toBe("x".repeat(50));
  });

  it("lets the app have the last word on a name that it took", async () => {
    const backend = await start();
    const name = document.querySelector<HTMLInputElement>("#name") as HTMLInputElement;
    name.value = " Kim ";
    name.dispatchEvent(new Event("input"));
    name.dispatchEvent(new Event("change"));
    await settle();
    backend.change({ settings: { ...backend.current.settings, name: "Kim" } });
    expect(name.value).toBe("Kim");
  });

  it("says nothing about commands that only came too late", async () => {
    const backend = await start();
    backend.refusal = { code: "NOT_NOW", detail: null };
    action("find-partner")?.click();
    await settle();
    expect(document.querySelector("[data-problem]")).toBeNull();
  });

  it("takes a refusal back when the next command succeeds", async () => {
    const backend = await start();
    backend.refusal = { code: "BAD_ROOM", detail: null };
    document.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
    await settle();
    expect(document.querySelector("[data-problem=BAD_ROOM]")).not.toBeNull();
    backend.refusal = undefined;
    action("refresh-devices")?.click();
    await settle();
    expect(document.querySelector("[data-problem=BAD_ROOM]")).toBeNull();
  });

  it("opens and closes the settings, and hands over the relay address on the way out", async () => {
    const backend = await start();
    action("settings")?.click();
    const url = document.querySelector<HTMLInputElement>("#relay-url") as HTMLInputElement;
    expect(document.querySelector("dialog")?.open).toBe(true);
    url.value = " ws://10.0.0.1:9000/ws ";
    url.dispatchEvent(new Event("input"));
    action("close-settings")?.click();
    expect(document.querySelector("dialog")?.open).toBe(false);
    expect(backend.calls).toEqual([["set_relay_url", { url: "ws://10.0.0.1:9000/ws" }]]);
  });

  it("shows the microphone's level, within its bounds", async () => {
    const backend = await start();
    const level = document.getElementById("level");
    for (const [sent, shown] of [
      [0.5, "50"],
      [7, "100"],
      [-1, "0"],
      [Number.NaN, "0"],
    ] as const) {
      backend.level(sent);
      expect(level?.getAttribute("aria-valuenow")).toBe(shown);
    }
  });

  it("wears the theme that the app keeps", async () => {
    const backend = await start();
    backend.change({ settings: { ...backend.current.settings, theme: "dark" } });
    expect(document.documentElement.dataset.theme).toBe("dark");
    backend.change({ settings: { ...backend.current.settings, theme: "light" } });
    expect(document.documentElement.dataset.theme).toBe("light");
  });

  it("counts the time of a call by itself", async () => {
    vi.useFakeTimers();
    vi.setSystemTime(1_000_000);
    const backend = new FakeApp(makeState({ screen: makeCall({ connectedAtMs: 1_000_000 - 9_500 }) }));
    const started = new App(document.getElementById("app") as HTMLElement, backend).start();
    await vi.advanceTimersByTimeAsync(0);
    await started;
    const time = () => document.getElementById("call-time")?.textContent;
    expect(time()).toBe("0:09");
    await vi.advanceTimersByTimeAsync(600);
    expect(time()).toBe("0:10");
    await vi.advanceTimersByTimeAsync(50_000);
    expect(time()).toBe("1:00");
  });

  it("lets the controls go when nobody does anything, and brings them back at the first move", async () => {
    vi.useFakeTimers();
    const backend = new FakeApp(makeState({ screen: makeCall() }));
    const started = new App(document.getElementById("app") as HTMLElement, backend).start();
    await vi.advanceTimersByTimeAsync(0);
    await started;
    const idle = () => document.querySelector("main")?.dataset.idle;
    await vi.advanceTimersByTimeAsync(3100);
    expect(idle()).toBe("true");
    window.dispatchEvent(new Event("pointermove"));
    expect(idle()).toBeUndefined();
  });
});
