import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type {
  AppState,
  Command,
  ConnectProblem,
  ErrorCode,
  ProblemPlace,
} from "../generated/contract";
import { words, wordsFor } from "../locale";
import { initialPage, type PageState, type View } from "../page-state";
import { HOSTILE, makeCall, makeState, makeView, NOW, STATES } from "../testing/states";
import { Page } from ".";

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
});

function show(state: AppState, page: Partial<PageState> = {}): View {
  const view = makeView(state, page);
  render(<Page {...view} />, root);
  return view;
}
const find = <E extends HTMLElement = HTMLElement>(selector: string): E => {
  const found = root.querySelector<E>(selector);
  if (!found) throw new Error(`${selector} is not there: ${root.innerHTML.slice(0, 2000)}`);
  return found;
};
const has = (selector: string) => root.querySelector(selector) !== null;
const action = (name: string) => find<HTMLButtonElement>(`[data-action="${name}"]`);
const text = (selector: string) => find(selector).textContent;
const sent = ({ act }: View) =>
  (act.send as unknown as { mock: { calls: Command[][] } }).mock.calls.flat();

const PLACES: ProblemPlace[] = [
  "camera",
  "microphone",
  "speaker",
  "server",
  "host",
  "nearby",
  "settings",
  "room",
  "invite",
  "access",
  "call",
];

describe("every screen", () => {
  const kinds = { inCall: "in-call" } as Record<string, string>;

  it.each(Object.entries(STATES))(
    "%s has one heading, its name and nothing empty or twice",
    (_, state) => {
      show(state);
      const { kind } = state.screen;
      expect(find("main").dataset.screen).toBe(kinds[kind] ?? kind);
      expect(root.querySelectorAll("h1")).toHaveLength(1);
      expect(root.textContent).not.toMatch(/undefined|null|NaN|\[object/u);
      const ids = Array.from(root.querySelectorAll("[id]"), ({ id }) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const button of root.querySelectorAll("button")) {
        expect(
          button.getAttribute("aria-label") ?? button.textContent,
          "every button has a name",
        ).not.toBe("");
      }
      for (const field of root.querySelectorAll("input:not([type=checkbox]), select")) {
        expect(has(`label[for="${field.id}"]`), `a label for ${field.id}`).toBe(true);
      }
      expect(root.querySelector("[style], script"), "nothing that the policy forbids").toBeNull();
    },
  );

  it.each(Object.entries(STATES))(
    "%s shows each problem exactly once, wherever it belongs",
    (_, state) => {
      for (const settingsOpen of [false, true]) {
        const codes = Object.keys(words.errors) as ErrorCode[];
        const problems = PLACES.map((place, id) => ({
          id,
          code: codes[id] ?? "INTERNAL",
          place,
          detail: null,
        }));
        show({ ...state, problems }, { settingsOpen });
        for (const { code } of problems) {
          expect(root.querySelectorAll(`[data-problem="${code}"]`), code).toHaveLength(1);
        }
      }
    },
  );
});

describe("the lobby", () => {
  it("offers the ways to a call", () => {
    const view = show(makeState(), {
      drafts: { ...initialPage(NOW).drafts, serverUrl: null, code: " garden-42 " },
    });
    action("find-partner").click();
    action("nearby").click();
    action("test-speaker").click();
    action("refresh-devices").click();
    action("camera").click();
    find<HTMLFormElement>("form").dispatchEvent(new Event("submit", { cancelable: true }));
    expect(sent(view)).toEqual([
      { type: "findPartner" },
      { type: "openNearby" },
      { type: "testSpeaker" },
      { type: "refreshDevices" },
      { type: "setCameraOn", on: false },
      { type: "callWithCode", code: "garden-42" },
    ]);
  });

  it("lists the devices, the default, none, and a chosen one that is not connected", () => {
    const view = show(makeState());
    const options = (id: string) =>
      Array.from(root.querySelectorAll(`#${id} option`), ({ textContent }) => textContent);
    expect(options("camera")).toEqual([
      "Default",
      "Integrated Camera",
      "Logitech BRIO",
      "No camera",
    ]);
    expect(find<HTMLSelectElement>("#microphone").value).toBe("mic-2");
    const camera = find<HTMLSelectElement>("#camera");
    for (const value of ["cam-2", "none", ""]) {
      camera.value = value;
      camera.dispatchEvent(new Event("change"));
    }
    expect(sent(view)).toEqual([
      { type: "setCamera", id: "cam-2" },
      { type: "setCamera", id: "none" },
      { type: "setCamera", id: null },
    ]);
    show(makeState({ settings: { ...makeState().settings, speaker: "gone" } }));
    expect(options("speaker")).toContain(words.devices.missing);
    expect(find<HTMLSelectElement>("#speaker").value).toBe("gone");
  });

  it.each([
    ["off", words.lobby.previewOff],
    ["starting", words.lobby.previewStarting],
    ["failed", words.lobby.previewFailed],
  ] as const)("says why there is no video: %s", (status, note) => {
    show(makeState({ preview: { status } }));
    expect(text(".preview-note")).toBe(note);
    show(makeState({ preview: { status: "on" } }));
    expect(has(".preview-note")).toBe(false);
  });

  it("says what to enter on the other computer while it hosts", () => {
    const view = show(STATES["lobby-hosting"] ?? makeState());
    expect(text(".addresses")).toContain("ws://192.168.1.20:9000/ws");
    expect(text(".host-tell details .hint")).toBe(words.host.tellMany);
    expect(has('[data-action="host"]')).toBe(false);
    action("stop-host").click();
    expect(sent(view)).toEqual([{ type: "stopHost" }]);
    show(makeState({ host: { status: "on", addresses: ["ws://192.168.1.20:9000/ws"] } }));
    expect(text(".host-tell details .hint")).toBe(words.host.tellOne);
    show(makeState({ host: { status: "on", addresses: [] } }));
    expect(text(".host")).toContain(words.host.noAddress);
  });

  it("shows each problem in its place, in words, with its code, until it is dismissed", () => {
    const view = show(STATES["lobby-problems"] ?? makeState());
    const camera = find('.device [data-problem="CAM_IN_USE"]');
    expect(camera.closest(".device")?.querySelector("select")?.id).toBe("camera");
    expect(camera.textContent).toContain("Another app is using your camera.");
    expect(camera.textContent).toContain("Close that app, then try again.");
    expect(camera.querySelector("details .problem-code")?.textContent).toBe("CAM_IN_USE");
    expect(has('.host [data-problem="RELAY_NOT_STARTED"]')).toBe(true);
    camera.querySelector<HTMLButtonElement>("[data-action=retryDevices]")?.click();
    camera.querySelector<HTMLButtonElement>("[data-action=dismiss]")?.click();
    expect(sent(view)).toEqual([{ type: "refreshDevices" }, { type: "dismissProblem", id: 1 }]);
  });

  it("offers another attempt only where one can help", () => {
    const problem = (code: "CAM_NOT_NEGOTIATED" | "SPEAKER_IN_USE", place: ProblemPlace) =>
      show(makeState({ problems: [{ id: 1, code, place, detail: null }] }));
    problem("CAM_NOT_NEGOTIATED", "camera");
    expect(has("[data-action=retryDevices]")).toBe(false);
    problem("SPEAKER_IN_USE", "speaker");
    expect(has("[data-action=retryDevices]")).toBe(false);
    problem("SPEAKER_IN_USE", "camera");
    expect(has("[data-action=retryDevices]")).toBe(true);
  });

  it("shows a refusal until it is dismissed", () => {
    const view = show(makeState(), { refusal: { code: "BAD_ROOM", place: "room", detail: null } });
    find(".with-code [data-problem=BAD_ROOM] button").click();
    expect(view.act.dismissRefusal).toHaveBeenCalledOnce();
  });
});

describe("waiting and connecting", () => {
  it("count the time and can be cancelled", () => {
    const view = show(STATES.waiting ?? makeState());
    expect(text("#waiting-time")).toBe("0:12");
    expect(has(".room")).toBe(false);
    action("cancel").click();
    expect(sent(view)).toEqual([{ type: "cancel" }]);
  });

  it("show the code that the other person needs", () => {
    show(STATES["waiting-room"] ?? makeState());
    expect(text(".room")).toBe("garden-42");
    expect(text("h1")).toBe(words.waiting.titleRoom);
  });

  it("say why there is no connection yet, and the one thing to do", () => {
    const screen = (STATES.connecting ?? makeState()).screen;
    if (screen.kind !== "connecting") throw new Error("another screen");
    const problems: ConnectProblem[] = [
      "NO_TURN_OFFERED",
      "TURN_REFUSED",
      "TURN_FAILED",
      "UDP_BLOCKED",
      "TURN_UNREACHABLE",
      "PARTNER_HAS_NO_ROUTE",
    ];
    for (const problem of problems) {
      show(makeState({ screen: { ...screen, problem } }));
      const { what, todo } = wordsFor(problem);
      expect(todo).toBeDefined();
      expect(text(`[data-trouble="${problem}"][role="alert"]`)).toBe(`${what}${todo ?? ""}`);
      expect(has('[data-action="retry"]')).toBe(false);
    }

    // It says more than that it takes long, and trying again is still offered.
    show(makeState({ screen: { ...screen, problem: "UDP_BLOCKED", timedOut: true } }));
    expect(text("[role=alert]")).toContain(wordsFor("UDP_BLOCKED").what);
    expect(text("[role=alert]")).not.toContain(words.connecting.timedOut);
    expect(has('[data-action="retry"]')).toBe(true);
    show(makeState({ screen: { ...screen, problem: null } }));
    expect(has("[role=alert]")).toBe(false);
  });

  it("say what is happening, and offer to try again when it takes too long", () => {
    show(STATES.connecting ?? makeState());
    expect(text("h1")).toBe("Connecting to Amara");
    expect(has('[data-action="retry"]')).toBe(false);
    const view = show(STATES["connecting-timed-out"] ?? makeState());
    action("retry").click();
    action("cancel").click();
    expect(sent(view)).toEqual([{ type: "retry" }, { type: "cancel" }]);
  });
});

describe("a call", () => {
  const call = (change = {}) => show(makeState({ screen: makeCall(change) }));
  const badges = () =>
    Array.from(root.querySelectorAll<HTMLElement>("[data-badge]"), ({ dataset }) => dataset.badge);

  it("does what its buttons say", () => {
    const view = call();
    for (const name of ["mute", "camera", "next", "hang-up"]) action(name).click();
    expect(sent(view)).toEqual([
      { type: "setMuted", muted: true },
      { type: "setCameraOn", on: false },
      { type: "next" },
      { type: "hangUp" },
    ]);
    action("settings").click();
    expect(view.act.openSettings).toHaveBeenCalledOnce();
    expect(text("#call-time")).toBe("12:34");
  });

  it("shows whether microphone and camera are on, and undoes it", () => {
    const view = call({ muted: true, cameraOn: false });
    expect(action("mute").hasAttribute("data-off")).toBe(true);
    expect(action("mute").textContent).toBe(words.call.unmute);
    expect(action("camera").hasAttribute("data-off")).toBe(true);
    expect(text("[data-note=muted]")).toBe(words.call.youAreMuted);
    action("mute").click();
    action("camera").click();
    expect(sent(view)).toEqual([
      { type: "setMuted", muted: false },
      { type: "setCameraOn", on: true },
    ]);
  });

  it("shows how good the connection is, and the rest about it on request", () => {
    call();
    expect(badges()).toEqual(["verification", "quality", "quality-words", "route", "encrypted"]);
    const details = find<HTMLDetailsElement>(".connection");
    expect(details.open, "closed until the user asks").toBe(false);
    expect(find(".connection > summary").getAttribute("aria-label")).toBe(
      "Good: Connection details",
    );
    expect(text("[data-badge=encrypted]")).toContain("Encrypted, not verified");
    expect(text("[data-badge=route]")).toBe(words.call.connection.direct);

    details.open = true;
    call({ quality: 2 });
    expect(details.open, "it stays open when the quality changes").toBe(true);
    const key = new KeyboardEvent("keydown", { key: "Escape", bubbles: true, cancelable: true });
    find(".connection > summary").dispatchEvent(key);
    expect(details.open, "until Escape").toBe(false);
  });

  it("has a badge for each thing worth knowing, in words that say whose it is", () => {
    call({ encrypted: false, route: null, quality: null });
    expect(badges()).toEqual(["quality-words"]);
    expect(text(".connection > summary")).toBe(words.call.connection.unknown);
    call({
      route: "relayed",
      partnerMuted: true,
      partnerCameraOff: true,
      partnerRefusesAudio: true,
      partnerRefusesVideo: true,
      reconnectingUntilMs: NOW + 30_000,
    });
    expect(new Set(badges())).toEqual(
      new Set([
        "verification",
        "encrypted",
        "route",
        "quality",
        "quality-words",
        "partner-muted",
        "partner-camera-off",
        "partner-refuses-audio",
        "partner-refuses-video",
        "reconnecting",
      ]),
    );
    expect(text("[data-badge=route]")).toBe(words.call.connection.relayed);
    expect(text("[data-badge=partner-muted]")).toBe("Amara is muted");
    expect(text("[data-badge=partner-camera-off]")).toBe("Amara's camera is off");
    expect(text("[data-badge=partner-refuses-video]")).toBe("Amara isn't receiving your video");
  });

  it.each([
    [1, "Poor"],
    [2, "Fair"],
    [3, "Good"],
  ] as const)("quality %i is %s, with as many bars", (quality, word) => {
    call({ quality });
    expect(text("[data-badge=quality]")).toBe(word);
    expect(root.querySelectorAll("[data-badge=quality] .lit")).toHaveLength(quality);
  });

  it("hides video that is not there", () => {
    call({ partnerCameraOff: true, cameraOn: false });
    expect(find("#remote").hidden).toBe(true);
    expect(find("#local").hidden).toBe(true);
    expect(text(".self-view-off")).toBe(words.call.localOff);
    call({ sendsVideo: false });
    expect(find("#local").hidden).toBe(true);
    expect(text(".self-view-off")).toBe(words.call.localNone);
    call();
    expect(find("#remote").hidden).toBe(false);
    expect(find("#local").hidden).toBe(false);
  });

  it("offers the next stranger, but not instead of a person who was called by a code", () => {
    call();
    expect(has("[data-action=next]")).toBe(true);
    call({ known: true });
    expect(has("[data-action=next]")).toBe(false);
    expect(has("[data-action=hang-up]")).toBe(true);
  });

  it("has a quiet note, and no overlay, while only the server has lost the other person", () => {
    call({ partnerServerLost: true });
    expect(text("[data-note=partner-server-lost]")).toBe(
      "Amara lost the connection to the server. Your call isn't affected.",
    );
    expect(has(".reconnecting")).toBe(false);
    call({ reconnectingUntilMs: NOW + 29_400 });
    expect(text("#time-left"), "how long the call waits").toBe("0:29");
    call({ partnerServerLost: true, reconnectingUntilMs: NOW + 30_000 });
    expect(has("[data-note=partner-server-lost]"), "the call is affected").toBe(false);
  });

  it("says that the server is lost while the call continues", () => {
    call({ serverLost: true });
    expect(text("[data-note=server-lost]")).toBe(words.call.serverLost);
    call({ serverLost: true, reconnectingUntilMs: NOW + 30_000 });
    expect(text("[data-note=server-lost]"), "no claim that the call isn't affected").toBe(
      words.server.lost,
    );
  });

  it("shows whatever a partner sends as text", () => {
    for (const screen of [
      makeCall({ partner: HOSTILE }),
      {
        kind: "connecting",
        partner: HOSTILE,
        step: "checking",
        startedAtMs: 0,
        timedOut: false,
        canRetry: true,
        problem: null,
      } as const,
    ]) {
      show(makeState({ screen }));
      expect(root.querySelector("img, script, b")).toBeNull();
      expect(text("h1")).toContain("<img src=x");
      expect(root.textContent).not.toMatch(/[\u0000-\u001f\u202a-\u202e]/u);
      for (const foreign of root.querySelectorAll(".foreign")) expect(foreign.tagName).toBe("BDI");
    }
  });

  it("has words for a partner without a name", () => {
    for (const name of [null, "", "  ", "\u202E\u200b"]) {
      call({ partner: { name, age: null, location: "Unknown", picture: null } });
      expect(text("h1 .foreign")).toBe(words.anonymous.start);
      expect(has(".about")).toBe(false);
    }
  });

  it("has the device menus in the settings, and nothing twice", () => {
    show(makeState({ screen: makeCall() }), { settingsOpen: true });
    for (const id of ["camera", "microphone", "speaker", "theme", "server-url"])
      expect(has(`dialog #${id}`)).toBe(true);
    expect(action("test-speaker").disabled, "the app tests speakers in the lobby only").toBe(true);
  });
});

describe("waiting", () => {
  it("shows what the other person is about to see and hear, and lets the user change it", () => {
    const view = show(STATES.waiting ?? makeState());
    expect(find("#local").hidden).toBe(false);
    action("mute").click();
    action("camera").click();
    expect(sent(view)).toEqual([
      { type: "setMuted", muted: true },
      { type: "setCameraOn", on: false },
    ]);

    const off = makeState().settings;
    show({ ...(STATES.waiting ?? makeState()), settings: { ...off, strangerCamera: false } });
    expect(find("#local").hidden).toBe(true);
    expect(text(".self-view-off")).toBe(words.call.localOff);
  });
});

describe("the keys of buttons", () => {
  it("are named unless they are switched off", () => {
    for (const base of [makeState(), makeState({ screen: makeCall() })]) {
      for (const on of [true, false]) {
        show({ ...base, settings: { ...base.settings, singleKeyShortcuts: on } });
        expect(action("mute").title.endsWith(" (M)")).toBe(on);
        expect(action("camera").getAttribute("aria-keyshortcuts")).toBe(on ? "V" : null);
        expect(action("settings").getAttribute("aria-keyshortcuts")).toBe("Control+,");
      }
    }
    expect(action("hang-up").title).toContain("Ctrl+Shift+H");
  });
});

describe("the end", () => {
  it("says why in words, how long it was, and what can be done", () => {
    const view = show(STATES.ended ?? makeState());
    expect(text("#end-reason")).toBe("Amara left the call.");
    expect(text("#call-duration")).toBe("12:34");
    expect(has(".problem-code")).toBe(false);
    expect(action("search-again").textContent).toBe(words.ended.next);
    action("search-again").click();
    action("to-lobby").click();
    expect(sent(view)).toEqual([{ type: "next" }, { type: "toLobby" }]);
  });

  it("shows the code of a fault, and no duration where there was no call", () => {
    show(STATES["ended-fault"] ?? makeState());
    expect(text(".problem-details .problem-code")).toBe("CONNECTION_FAILED");
    expect(action("search-again").textContent).toBe(words.ended.retry);
    expect(has("#call-duration")).toBe(false);
    expect(text("h1")).toBe(words.ended.title.failed);
  });

  it("says what is wrong with the server, not only that it can't be reached", () => {
    const screen = {
      kind: "ended",
      reason: "RELAY_REFUSED",
      cause: "SIGNALING_TOKEN_NEEDED",
      mismatch: null,
      problem: null,
      durationMs: null,
      name: null,
      otherServer: null,
      asksDirectAt: null,
      again: { kind: "anyone" },
    } as const;
    show(makeState({ screen }));
    expect(text("#end-reason")).toBe(words.errors.SIGNALING_TOKEN_NEEDED.what);
    expect(text(".problem-code")).toBe("SIGNALING_TOKEN_NEEDED");
  });

  it("says why no connection came up, and what to do about it", () => {
    const screen = {
      kind: "ended",
      reason: "CONNECTION_FAILED",
      cause: null,
      mismatch: null,
      problem: "TURN_REFUSED",
      durationMs: null,
      name: null,
      otherServer: null,
      asksDirectAt: null,
      again: { kind: "anyone" },
    } as const;
    show(makeState({ screen }));
    expect(text("#end-reason")).toBe(words.errors.TURN_REFUSED.what);
    expect(text(".hint")).toBe(words.errors.TURN_REFUSED.todo);
    expect(text(".problem-code")).toBe("TURN_REFUSED");
  });

  it("does not send the user to the settings with the token of another server", () => {
    const screen = {
      kind: "ended",
      reason: "RELAY_REFUSED",
      cause: "SIGNALING_TOKEN_NEEDED",
      mismatch: null,
      problem: null,
      durationMs: null,
      name: null,
      otherServer: "chat.example.org",
      asksDirectAt: null,
      again: null,
    } as const;
    show(makeState({ screen }));
    expect(text("#end-reason")).toContain("chat.example.org");
    expect(text(".hint")).toBe(words.todoElsewhere.SIGNALING_TOKEN_NEEDED);
  });

  it("says that a call ended, not that it failed, when the user gave up before it began", () => {
    const screen = {
      kind: "ended",
      reason: "HUNG_UP",
      cause: null,
      mismatch: null,
      problem: null,
      durationMs: null,
      name: null,
      otherServer: null,
      asksDirectAt: null,
      again: { kind: "anyone" },
    } as const;
    show(makeState({ screen }));
    expect(text("h1")).toBe(words.ended.title.ended);
    expect(has(".hint"), "nothing is left to do").toBe(false);
  });

  it("offers to call again with the same code", () => {
    show(STATES["ended-room"] ?? makeState());
    expect(action("search-again").textContent).toBe(words.ended.again);
    expect(text("#call-duration")).toBe("1:02:03");
  });
});

describe("the settings", () => {
  it("offer the codecs that this build can send", () => {
    show(makeState(), { settingsOpen: true });
    expect(root.querySelectorAll("#codec option")).toHaveLength(2);
    show(makeState({ codecs: ["h264"] }), { settingsOpen: true });
    expect(has("#codec"), "there is nothing to choose").toBe(false);
  });

  it("stay open where the user works", () => {
    const token = { server: "chat.example.org", inUse: true, thisRunOnly: false };
    show(makeState({ token }), { settingsOpen: true });
    const access = root.querySelector<HTMLDetailsElement>(".server-access");
    expect(access?.open).toBe(true);
    action("forget-token").click();
    show(makeState({ token: null }), { settingsOpen: true });
    expect(access?.open, "another token can be entered").toBe(true);
    expect(document.activeElement?.id).toBe("token");
  });

  it("list the keys, and begin with what people look for most", () => {
    show(makeState(), { settingsOpen: true });
    const keys = Array.from(root.querySelectorAll(".keys kbd"), ({ textContent }) => textContent);
    const zoom = ["Ctrl+Plus", "Ctrl+Minus", "Ctrl+0"];
    expect(keys).toEqual(["M", "V", "Ctrl+Shift+H", "F11", "Ctrl+,", ...zoom]);
    const groups = Array.from(root.querySelectorAll("dialog h3"), ({ textContent }) => textContent);
    expect(groups[0]).toBe(words.profile.title);
    expect(groups.at(-1)).toBe(words.settings.server);
  });

  it("send what the user changes", () => {
    const view = show(makeState(), { settingsOpen: true });
    const theme = find<HTMLSelectElement>("#theme");
    theme.value = "dark";
    theme.dispatchEvent(new Event("change"));
    const noise = find<HTMLInputElement>("#noiseSuppression");
    noise.checked = false;
    noise.dispatchEvent(new Event("change"));
    expect(sent(view)).toEqual([
      { type: "setTheme", theme: "dark" },
      { type: "setProcessing", echoCancellation: true, noiseSuppression: false, autoGain: false },
    ]);
    action("close-settings").click();
    expect(view.act.closeSettings).toHaveBeenCalled();
  });

  it("show the profile as others see it, and take a new one", () => {
    const picture = "data:image/jpeg;base64,/9j/2gACAQI=";
    const settings = { ...makeState().settings, name: "Robin", age: 29, location: "Lisbon" };
    const view = show(makeState({ settings, picture }), { settingsOpen: true });
    expect(find<HTMLImageElement>(".shown-profile img").src).toBe(picture);
    expect(text(".shown-profile .person-name")).toBe("Robin");
    expect(text(".shown-profile .about")).toBe("29 · Lisbon");
    find<HTMLInputElement>("#profile-age").dispatchEvent(new Event("change"));
    expect(view.act.commitAbout).toHaveBeenCalledOnce();
    action("remove-picture").click();
    expect(sent(view)).toEqual([{ type: "setPicture", picture: null }]);
  });

  it("show a profile with nothing in it", () => {
    show(makeState(), { settingsOpen: true });
    expect(has(".shown-profile img")).toBe(false);
    expect(text(".shown-profile .person-name")).not.toBe("");
    expect(has("[data-action=remove-picture]"), "there is none").toBe(false);
  });

  it("keep a refused server address as it was typed, and say why", () => {
    show(makeState(), {
      settingsOpen: true,
      drafts: { ...initialPage(NOW).drafts, serverUrl: "htp:/x", code: "" },
      refusal: { code: "BAD_RELAY_URL", place: "settings", detail: null },
    });
    expect(find<HTMLInputElement>("#server-url").value).toBe("htp:/x");
    expect(has("dialog [data-problem=BAD_RELAY_URL]")).toBe(true);
  });
});
