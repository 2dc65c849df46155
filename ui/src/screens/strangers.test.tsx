import { render } from "preact";
import { act as settled } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { AppState, BlockStatus, Command, ReportStatus, Settings } from "../generated/contract";
import { words } from "../locale";
import { initialPage, type PageState, type View } from "../page-state";
import { makeCall, makeState, makeView, STATES, STRANGER } from "../testing/states";
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
const click = (name: string) =>
  settled(() => {
    find<HTMLButtonElement>(`[data-action="${name}"]`).click();
  });
const sent = ({ act }: View) =>
  (act.send as unknown as { mock: { calls: Command[][] } }).mock.calls.flat();
const named = (name: string): AppState => {
  const state = STATES[name];
  if (!state) throw new Error(`no state ${name}`);
  return state;
};

describe("the rules", () => {
  it("are shown before the first stranger and can be refused", async () => {
    const view = show(makeState(), { rulesOpen: true });
    expect(find("#rules").textContent).toContain("18 or older");
    await click("accept-rules");
    expect(view.act.acceptRules).toHaveBeenCalledTimes(1);
    await click("refuse-rules");
    expect(view.act.closeRules).toHaveBeenCalled();
  });

  it("are not in the way otherwise", () => {
    show(makeState());
    expect(has("[data-action=accept-rules]")).toBe(false);
    expect(initialPage(0).rulesOpen).toBe(false);
  });
});

describe("waiting for a stranger", () => {
  it("shows and switches the toggles for strangers", async () => {
    const view = show(named("waiting-camera-off"));
    expect(has("[data-action=camera][data-off]")).toBe(true);
    expect(has("[data-action=mute][data-off]")).toBe(true);
    await click("camera");
    await click("mute");
    expect(sent(view)).toEqual([
      { type: "setCameraOn", on: true },
      { type: "setMuted", muted: false },
    ]);
  });

  it("leaves those for everyone else alone", () => {
    const state = named("waiting-room");
    show({ ...state, settings: { ...state.settings, strangerCamera: false } });
    expect(has("[data-action=camera][data-off]")).toBe(false);
  });
});

describe("a report", () => {
  it("takes two clicks", async () => {
    const view = show(named("in-call"));
    await click("report");
    await click("report-harassment");
    expect(sent(view)).toEqual([
      { type: "report", reason: "harassment", text: "", snapshot: false },
    ]);
  });

  it("takes words and a snapshot with it if the user wants that", async () => {
    const view = show(named("in-call"));
    await click("report");
    const text = find<HTMLTextAreaElement>("#report-text");
    await settled(() => {
      text.value = "Shouts.";
      text.dispatchEvent(new Event("input", { bubbles: true }));
      find("#report-snapshot").click();
    });
    await click("report-other");
    expect(sent(view)).toEqual([
      { type: "report", reason: "other", text: "Shouts.", snapshot: true },
    ]);
  });

  it.each<[ReportStatus, boolean]>([
    ["sending", false],
    ["sent", false],
    ["notRecorded", true],
    ["failed", true],
  ])("that is %s says so", async (report, again) => {
    show(makeState({ screen: makeCall(), stranger: { ...STRANGER, report } }));
    await click("report");
    expect(find(`[data-report=${report}]`).textContent).not.toBe("");
    expect(has("[data-action=report-spam]")).toBe(again);
  });

  it("is about strangers only", () => {
    show(makeState({ screen: makeCall({ known: true }) }));
    expect(has("[data-action=report]")).toBe(false);
  });
});

describe("a block", () => {
  it("takes two clicks in a call and after it", async () => {
    for (const name of ["in-call", "ended-stranger"]) {
      const state = named(name);
      const view = show({ ...state, stranger: STRANGER });
      await click("report");
      await click("block");
      expect(sent(view)).toEqual([{ type: "block" }]);
      render(null, root);
    }
  });

  it.each<[BlockStatus, boolean]>([
    ["sending", false],
    ["blocked", false],
    ["failed", true],
  ])("that is %s says so, and no more", async (block, again) => {
    const state = named("ended-stranger");
    show({ ...state, stranger: { ...STRANGER, block } });
    const status = block as Exclude<BlockStatus, "none">;
    expect(find(`[data-block=${block}]`).textContent).toBe(words.report.blockStatus[status]);
    await click("report");
    expect(has("[data-action=block]")).toBe(again);
  });
});

describe("a server without TURN", () => {
  const asked = (settings: Partial<Settings>) => {
    const state = named("ended-ask-direct");
    return show({ ...state, settings: { ...state.settings, ...settings } });
  };

  it("makes the app ask once before it goes directly", async () => {
    const view = asked({});
    await click("allow-direct");
    await Promise.resolve();
    expect(sent(view)).toEqual([
      { type: "allowStrangerDirect", server: "wss://chat.example.org:443" },
      { type: "next" },
    ]);
  });

  it("is the one that was asked about, though the settings have another by now", async () => {
    const view = asked({ serverUrl: "wss://two.example/ws" });
    expect(find("#end-reason").textContent).toContain("chat.example.org can't hide");
    await click("allow-direct");
    expect(sent(view)[0]).toEqual({
      type: "allowStrangerDirect",
      server: "wss://chat.example.org:443",
    });
  });

  it("is an error for those who have agreed", () => {
    asked({ strangerRelay: false });
    expect(has("[data-action=allow-direct]")).toBe(false);
    expect(has("[data-action=search-again]")).toBe(true);
  });

  it("can't be helped where there is no STUN server either", () => {
    const { screen } = named("ended-ask-direct");
    if (screen.kind !== "ended") throw new Error("it is over");
    show(makeState({ screen: { ...screen, reason: "NO_STUN_SERVER", asksDirectAt: null } }));
    expect(has("[data-action=allow-direct]")).toBe(false);
    expect(find("#end-reason").dataset.reason).toBe("NO_STUN_SERVER");
  });

  it("leaves the stranger before to be reported", async () => {
    const view = show({ ...named("ended-ask-direct"), stranger: STRANGER });
    expect(has("[data-action=allow-direct]")).toBe(true);
    await click("report");
    await click("report-spam");
    expect(sent(view)).toEqual([{ type: "report", reason: "spam", text: "", snapshot: false }]);
  });

  it("is listed in the settings once it is allowed, until that is taken back", async () => {
    const strangerDirect = ["wss://one.example:443", "ws://192.168.1.5:9000"];
    const { settings } = makeState();
    const view = show(makeState({ settings: { ...settings, strangerDirect } }), {
      settingsOpen: true,
    });
    const list = [...find(".direct-servers").querySelectorAll("li > span")];
    expect(list.map((item) => item.textContent)).toEqual(["one.example", "ws://192.168.1.5:9000"]);
    await click("forget-direct");
    expect(sent(view)).toEqual([
      { type: "takeBackStrangerDirect", server: "wss://one.example:443" },
    ]);

    show(makeState(), { settingsOpen: true });
    expect(has(".direct-servers")).toBe(false);
  });
});

describe("interests", () => {
  it("that both gave are shown as text", () => {
    const interests = ["chess", "<b>\u202Ebold</b>"];
    const state = named("connecting-stranger");
    show({ ...state, stranger: { ...STRANGER, interests } });
    expect(find("[data-testid=in-common]").textContent).toContain("chess, <b>");
    expect(has("[data-testid=in-common] b")).toBe(false);
  });

  it("are typed with commas", () => {
    const state = makeState();
    const settings = { ...state.settings, interests: ["chess", "sailing"] };
    show({ ...state, settings }, { settingsOpen: true });
    expect(find<HTMLInputElement>("#profile-interests").value).toBe("chess, sailing");
  });
});
