// The whole page, with the app played by the test.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { App } from "./app";
import type { Backend, SendError } from "./backend";
import type { AppState, Command, StateChange } from "./generated/contract";
import { words } from "./locale";
import { makeCall, makeState } from "./testing/states";

const settle = () => new Promise((done) => setTimeout(done, 0));
const screenName = () => document.querySelector("main")?.dataset.screen;
const action = (name: string) =>
  document.querySelector<HTMLButtonElement>(`[data-action="${name}"]`);
const input = (id: string) => document.querySelector(`#${id}`) as HTMLInputElement;

/** Types as a user does, without leaving the field. */
function type(field: HTMLInputElement, text: string): void {
  field.value = text;
  field.dispatchEvent(new Event("input"));
}

class FakeApp implements Backend {
  readonly commands: Command[] = [];
  refusal: SendError | undefined;
  snapshot: () => Promise<AppState> = () => Promise.resolve(this.current);
  notify: (change: StateChange) => void = () => undefined;
  level: (level: number) => void = () => undefined;

  constructor(public current: AppState) {}

  send = vi.fn((command: Command) => {
    this.commands.push(command);
    return Promise.resolve(this.refusal);
  });
  state = () => this.snapshot();
  frameSocket = () => Promise.reject(new Error("no frames in this test"));
  onStateChanged = (listener: (change: StateChange) => void) => {
    this.notify = listener;
    return Promise.resolve();
  };
  onMicrophoneLevel = (listener: (level: number) => void) => {
    this.level = listener;
    return Promise.resolve();
  };
  change(changes: StateChange["changes"]) {
    this.current = { ...this.current, ...changes, revision: this.current.revision + 1 };
    this.notify({ revision: this.current.revision, changes });
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
  it("shows the call when it is loaded in the middle of one", async () => {
    await start(makeState({ screen: makeCall({ muted: true }) }));
    expect(screenName()).toBe("in-call");
    expect(action("mute")?.hasAttribute("data-off")).toBe(true);
  });

  it("follows the app from screen to screen, and takes the focus along", async () => {
    const backend = await start();
    expect(document.activeElement, "at the start the focus stays").toBe(document.body);
    backend.change({
      screen: {
        kind: "waiting",
        search: { kind: "anyone" },
        ringing: false,
        startedAtMs: Date.now(),
        sendsVideo: true,
      },
    });
    expect(screenName()).toBe("waiting");
    expect(document.activeElement?.id).toBe("heading");
    expect(document.getElementById("announcer")?.textContent).toBe(words.announce.waiting);
    backend.change({ screen: makeCall() });
    expect(document.title).toBe("Amara – Tandem");
    backend.change({ screen: { kind: "lobby" } });
    expect(document.title).toBe("Tandem");
  });

  it("says when the app doesn't answer, and recovers when it does", async () => {
    const backend = new FakeApp(makeState());
    const real = backend.snapshot;
    backend.snapshot = () => Promise.reject(new Error("gone"));
    const root = document.getElementById("app") as HTMLElement;
    const started = new App(root, backend).start();
    await settle();
    expect(document.querySelector("[data-problem=APP_UNREACHABLE]")).not.toBeNull();
    backend.snapshot = real;
    await started;
    expect(screenName()).toBe("lobby");
    expect(document.querySelector("[data-problem=APP_UNREACHABLE]")).toBeNull();
  });

  it("searches once the app has the name, and keeps a refused one in the field", async () => {
    const backend = await start();
    const sent = () => backend.commands.map((command) => command.type);
    const name = input("name");
    type(name, "x".repeat(50));
    backend.refusal = { code: "BAD_NAME", detail: null };
    action("find-partner")?.click();
    await settle();
    expect(sent(), "no search under another name").toEqual(["setName"]);
    expect(document.querySelector("[data-problem=BAD_NAME]")).not.toBeNull();
    expect(name.value).toBe("x".repeat(50));

    type(name, "Kim");
    backend.refusal = undefined;
    action("find-partner")?.click();
    await settle();
    expect(sent()).toEqual(["setName", "setName", "findPartner"]);
  });

  it("shows a name as the app took it", async () => {
    const backend = await start();
    const name = input("name");
    type(name, " Kim ");
    name.dispatchEvent(new Event("change"));
    await settle();
    backend.change({ settings: { ...backend.current.settings, name: "Kim" } });
    expect(name.value).toBe("Kim");
  });

  it("leaves a field alone while the user types, and catches up afterwards", async () => {
    const backend = await start();
    const name = input("name");
    name.focus();
    type(name, "Ki");
    name.dispatchEvent(new Event("change"));
    await settle();
    backend.change({ settings: { ...backend.current.settings, name: "K" } });
    expect(name.value, "what was typed stays").toBe("Ki");
    name.blur();
    backend.change({ settings: { ...backend.current.settings, name: "K." } });
    expect(name.value).toBe("K.");
  });

  it("renders what changes while it renders right afterwards", async () => {
    const backend = await start();
    const heading = () => document.querySelector("h1");
    // Browsers send such events when a rendering removes or focuses an element.
    const nested = () => {
      backend.change({ screen: makeCall() });
    };
    document.addEventListener("focusin", nested, { once: true });
    backend.change({
      screen: {
        kind: "waiting",
        search: { kind: "anyone" },
        ringing: false,
        startedAtMs: Date.now(),
        sendsVideo: true,
      },
    });
    expect(screenName()).toBe("in-call");
    expect(document.querySelectorAll("main")).toHaveLength(1);
    expect(document.activeElement).toBe(heading());
  });

  it("says nothing about commands that only came too late", async () => {
    const backend = await start();
    backend.refusal = { code: "NOT_NOW", detail: null };
    action("find-partner")?.click();
    await settle();
    expect(document.querySelector("[data-problem]")).toBeNull();
  });

  it("removes a refusal when the next command succeeds", async () => {
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

  it("puts a menu and a switch back when the app refuses their change", async () => {
    const backend = await start();
    action("settings")?.click();
    backend.refusal = { code: "NOT_NOW", detail: null };
    const theme = document.querySelector<HTMLSelectElement>("#theme") as HTMLSelectElement;
    theme.value = "dark";
    theme.dispatchEvent(new Event("change"));
    const noise = input("noiseSuppression");
    noise.checked = false;
    noise.dispatchEvent(new Event("change"));
    await settle();
    expect(theme.value).toBe("system");
    expect(noise.checked).toBe(true);
  });

  it("opens and closes the settings, and sends the server's address on the way out", async () => {
    const backend = await start();
    action("settings")?.click();
    const url = input("server-url");
    expect(document.querySelector("dialog")?.open).toBe(true);
    type(url, " ws://10.0.0.1:9000/ws ");
    action("close-settings")?.click();
    expect(document.querySelector("dialog")?.open).toBe(false);
    expect(backend.commands).toEqual([{ type: "setServerUrl", url: "ws://10.0.0.1:9000/ws" }]);
  });

  it("saves a token without keeping it, and leaves a refused one in its field", async () => {
    const backend = await start();
    action("settings")?.click();
    const field = input("token");
    expect(field.type).toBe("password");
    const save = async () => {
      action("save-token")?.click();
      await settle();
    };
    expect(action("save-token")?.disabled).toBe(true);

    type(field, "a b");
    await settle();
    backend.refusal = { code: "BAD_TOKEN", detail: null };
    await save();
    expect(document.querySelector(".server-access [data-problem=BAD_TOKEN]")).not.toBeNull();
    expect(field.value).toBe("a b");

    type(field, "abc.def");
    await settle();
    backend.refusal = undefined;
    await save();
    expect(backend.commands.at(-1)).toEqual({ type: "setToken", token: "abc.def" });
    expect(field.value).toBe("");
    expect(document.querySelector("[data-problem]")).toBeNull();

    backend.change({
      token: { server: "chat.example.org", inUse: true, thisRunOnly: false },
    });
    await settle();
    expect(document.querySelector(".token-saved")?.textContent).toContain("chat.example.org");
    expect(document.getElementById("token"), "this one is forgotten first").toBeNull();
    action("forget-token")?.click();
    await settle();
    expect(backend.commands.at(-1)).toEqual({ type: "forgetToken" });
  });

  it("drops a token that was typed and not saved when the settings are closed", async () => {
    const backend = await start();
    action("settings")?.click();
    type(input("token"), "abc");
    action("close-settings")?.click();
    action("settings")?.click();
    expect(input("token").value).toBe("");
    expect(backend.commands).toEqual([]);
  });

  it("sends the path of a certificate file on the way out of the settings", async () => {
    const backend = await start();
    action("settings")?.click();
    type(input("ca-file"), " /etc/ssl/school.pem ");
    action("close-settings")?.click();
    expect(backend.commands).toEqual([{ type: "setCaFile", path: "/etc/ssl/school.pem" }]);
  });

  it("sends the whole profile on the way out of the settings, and keeps what is refused", async () => {
    const backend = await start();
    action("settings")?.click();
    type(input("profile-name"), "Robin");
    type(input("profile-age"), "29 ");
    action("close-settings")?.click();
    await settle();
    expect(backend.commands).toEqual([
      { type: "setName", name: "Robin" },
      { type: "setAbout", age: 29, location: "" },
    ]);

    action("settings")?.click();
    for (const [typed, age] of [
      ["old", 0],
      ["-5", 0],
      ["4000", 0],
      ["999", 255],
      ["", null],
    ] as const) {
      type(input("profile-age"), typed);
      input("profile-age").dispatchEvent(new Event("change"));
      await settle();
      expect(backend.commands.at(-1)).toEqual({ type: "setAbout", age, location: "" });
    }
  });

  it("keeps the age that the app took, however slowly the app's state follows its reply", async () => {
    const backend = await start();
    const change = async (id: string, text: string) => {
      type(input(id), text);
      input(id).dispatchEvent(new Event("change"));
      await settle();
    };
    action("settings")?.click();
    await change("profile-age", "29");
    await change("profile-location", "Lisbon");
    await change("profile-age", "");
    expect(backend.commands).toEqual([
      { type: "setAbout", age: 29, location: "" },
      { type: "setAbout", age: 29, location: "Lisbon" },
      { type: "setAbout", age: null, location: "Lisbon" },
    ]);
  });

  it("asks for a server once, however slowly the app's state follows its reply", async () => {
    const settings = { ...makeState().settings, serverUrl: null, welcomed: false };
    const server = { status: "idle", name: null, cause: null, exposed: false } as const;
    const backend = await start(makeState({ settings, server }));
    action("way-invite")?.click();
    await settle();
    type(input("setup-server-url"), "chat.example.org");
    document.querySelector("form.setup")?.dispatchEvent(new Event("submit", { cancelable: true }));
    await settle();
    expect(backend.commands).toEqual([
      { type: "setServerUrl", url: "chat.example.org" },
      { type: "welcomed" },
      { type: "invite" },
    ]);
    expect(document.querySelector("form.setup")).toBeNull();
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

  it("keeps the level on show when something else changes", async () => {
    const backend = await start();
    const level = document.getElementById("level");
    backend.level(0.4);
    backend.change({ preview: { status: "failed" } });
    expect(level?.isConnected).toBe(true);
    expect(level?.getAttribute("aria-valuenow")).toBe("40");
  });

  it("follows the app's theme", async () => {
    const backend = await start();
    backend.change({ settings: { ...backend.current.settings, theme: "dark" } });
    expect(document.documentElement.dataset.theme).toBe("dark");
    backend.change({ settings: { ...backend.current.settings, theme: "light" } });
    expect(document.documentElement.dataset.theme).toBe("light");
  });

  it("counts the time of a call by itself", async () => {
    vi.useFakeTimers();
    vi.setSystemTime(1_000_000);
    const screen = makeCall({ connectedAtMs: 1_000_000 - 9_500 });
    const backend = new FakeApp(makeState({ screen }));
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

  it("hides the controls of a call when idle, and shows them at the first move", async () => {
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
