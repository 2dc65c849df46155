// Invites, rings, recent calls and the first start, as the page shows the app's state.

import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { AppState, CallerKind, Command } from "../generated/contract";
import { words } from "../locale";
import { initialPage, type PageState, type View } from "../page-state";
import { GUARD_MS } from "../parts/incoming-call";
import { HOSTILE, makeRing, makeState, makeView, NOW, STATES } from "../testing/states";
import { Page } from ".";

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
  vi.useRealTimers();
});

function show(state: AppState | undefined, page: Partial<PageState> = {}): View {
  if (!state) throw new Error("no such state");
  const view = makeView(state, page);
  render(<Page {...view} />, root);
  return view;
}
/** Shows a person who rings, and waits until they can be answered. */
function showRing(state: AppState | undefined): View {
  vi.useFakeTimers();
  let view: View | undefined;
  void act(() => {
    view = show(state);
  });
  void act(() => {
    vi.advanceTimersByTime(GUARD_MS);
  });
  if (!view) throw new Error("nothing is shown");
  return view;
}
const has = (selector: string) => root.querySelector(selector) !== null;
const action = (name: string) => {
  const found = root.querySelector<HTMLButtonElement>(`[data-action="${name}"]`);
  if (!found) throw new Error(`${name} is not there: ${root.innerHTML}`);
  return found;
};
const calls = (mock: unknown) => (mock as { mock: { calls: unknown[][] } }).mock.calls.flat();
const press = (name: string) => {
  action(name).click();
};

describe("who rings", () => {
  it.each(["lobby-ringing", "ended-ringing"])("is shown between calls: %s", (name) => {
    const view = showRing(STATES[name]);
    expect(root.querySelector(".incoming h2")?.textContent).toContain("Amara");
    press("accept-call");
    expect(calls(view.act.call)).toEqual([{ type: "acceptCall", id: 40, video: true }]);
    press("decline-call");
    expect(calls(view.act.send)).toContainEqual({ type: "declineCall", id: 40 });
  });

  it("cannot bring markup", () => {
    show(makeState({ incoming: { ...makeRing("invited"), name: HOSTILE.name } }));
    expect(has(".incoming img, .incoming b")).toBe(false);
  });
});

describe("who waits for a guest", () => {
  const { invited, nearby, nearbyInvited, notInvited, calling } = words.incoming;
  const hint = (kind: CallerKind, byInvite: boolean, waits: boolean) => {
    const { invitation } = makeState(STATES["lobby-ringing"]);
    show(
      makeState({
        invitation: waits ? invitation : null,
        incoming: { ...makeRing(kind), byInvite },
      }),
    );
    return root.querySelector(".incoming .hint")?.textContent;
  };

  it("sees whether a call is by the invite", () => {
    expect(hint("invited", true, true)).toBe(invited);
    expect(hint("nearby", true, true)).toBe(nearbyInvited);
    expect(hint("known", false, true)).toBe(notInvited.known);
    expect(hint("nearby", false, true)).toBe(notInvited.nearby);
  });

  it("is the only one who is told", () => {
    expect(hint("known", false, false)).toBe(calling);
    expect(hint("nearby", false, false)).toBe(nearby);
  });
});

describe("accepting with sound only", () => {
  it("is for this call", () => {
    const view = showRing(STATES["lobby-ringing"]);
    press("accept-sound");
    expect(calls(view.act.call)).toEqual([{ type: "acceptCall", id: 40, video: false }]);
  });

  it("is not offered where the camera is off", () => {
    show(makeState({ ...STATES["lobby-camera-off"], incoming: makeRing("known") }));
    expect(has("[data-action=accept-call]")).toBe(true);
    expect(has("[data-action=accept-sound]")).toBe(false);
  });
});

describe("people nearby", () => {
  it("are listed by name, safely, and called with a click", () => {
    const view = show(STATES["lobby-nearby"]);
    const rows = root.querySelectorAll(".nearby-people li");
    expect(Array.from(rows, (row) => row.querySelector(".recent-name")?.textContent)).toEqual([
      "Amara",
      words.anonymous.start,
    ]);
    press("call-nearby");
    expect(calls(view.act.call)).toEqual([{ type: "callNearby", id: "1f3a5b7c9d2e4f60" }]);
    press("close-nearby");
    expect(calls(view.act.send)).toContainEqual({ type: "closeNearby" });

    const person = { id: "3", name: HOSTILE.name };
    const nearby = { ...makeState(STATES["lobby-nearby"]).nearby, people: [person] };
    show(makeState({ nearby }));
    expect(has(".nearby-people img, .nearby-people b")).toBe(false);
  });

  it("are explained where nobody is found", () => {
    show(STATES["lobby-nearby-nobody"]);
    expect(root.querySelector(".nearby-nobody")?.textContent).toBe(words.nearby.nobody);
    expect(has("[data-note=silent]")).toBe(false);
    expect(root.querySelector<HTMLDetailsElement>(".nearby-missing")?.open).toBe(false);

    show(STATES["lobby-nearby-silent"]);
    expect(root.querySelector("[data-note=silent]")?.textContent).toBe(words.nearby.silent);
    expect(root.querySelector<HTMLDetailsElement>(".nearby-missing")?.open).toBe(true);
    expect(root.querySelector(".nearby-address")?.textContent).toContain("169.254.3.4:40123");
    expect(has(".nearby-address svg")).toBe(true);
  });

  it("can be called by address", () => {
    const drafts = { ...initialPage(NOW).drafts, nearbyAddress: " 192.168.1.7 " };
    const view = show(STATES["lobby-nearby-silent"], { drafts });
    const form = root.querySelector(".nearby-missing form");
    form?.dispatchEvent(new Event("submit", { cancelable: true }));
    expect(calls(view.act.call)).toEqual([{ type: "callAddress", address: "192.168.1.7" }]);
  });

  it("who are rung can ring at the same time", () => {
    const incoming = makeRing("nearby");
    const view = showRing({ ...makeState(STATES["waiting-ringing"]), incoming });
    press("accept-call");
    expect(calls(view.act.call)).toEqual([{ type: "acceptCall", id: 1, video: true }]);
  });

  it("say who rings, and whether this user is always visible", () => {
    const view = show(STATES["lobby-nearby-ringing"]);
    expect(root.querySelector(".incoming .hint")?.textContent).toBe(words.incoming.nearby);
    root.querySelector<HTMLInputElement>("#always-nearby")?.click();
    expect(calls(view.act.send)).toEqual([{ type: "setAlwaysNearby", on: true }]);
  });

  it("who are gone are not a server out of reach", () => {
    show(STATES["ended-nearby-away"]);
    expect(root.querySelector("#end-reason")?.textContent).toBe(words.ended.away);
    expect(root.textContent).toContain(words.ended.awayNearby);
  });

  it("who are in another call are told apart from those who are gone", () => {
    show(STATES["ended-nearby-busy"]);
    expect(root.querySelector("#end-reason")?.textContent).toBe(words.ended.busy);
    expect(root.textContent).toContain(words.ended.busyNearby);
  });
});

describe("an invite", () => {
  it("is asked for once, and then shown", () => {
    const view = show(makeState());
    press("invite");
    expect(calls(view.act.withServer)).toEqual([{ type: "invite" }]);

    show(makeState({ invitation: { status: "asking" } }));
    expect(action("invite").disabled).toBe(true);

    show(STATES["lobby-invite"]);
    expect(root.textContent).toContain("7-garden-lantern");
    expect(has("[data-action=find-partner]")).toBe(false);
    press("cancel-invite");
  });

  it("says that it takes the place of another", () => {
    const { invitation } = STATES["lobby-invite"] ?? makeState();
    if (invitation?.status !== "ready") throw new Error("not ready");
    show(makeState({ invitation: { ...invitation, replaced: true } }));
    expect(root.textContent).toContain(words.lobby.inviteReplaced);
  });

  it("says which server to enter where no link can name it", () => {
    const { invitation } = STATES["lobby-invite"] ?? makeState();
    if (invitation?.status !== "ready") throw new Error("not ready");
    show(makeState({ invitation: { ...invitation, appLink: null, webLink: null } }));
    expect(has(".qr-code")).toBe(false);
    expect(root.textContent).toContain("enter the server chat.example.org");
  });
});

describe("an opened invite", () => {
  it("names its server and waits for a click", () => {
    const view = show(STATES["lobby-opened"]);
    expect(root.querySelector(".opened")?.textContent).toContain("meet.example.net");
    expect(root.querySelector(".opened")?.textContent).not.toContain(words.server.exposed);
    expect(calls(view.act.send)).toEqual([]);
    press("join-opened");
    expect(calls(view.act.call)).toEqual([{ type: "joinOpened" }]);
    press("dismiss-opened");
    expect(calls(view.act.send)).toContainEqual({ type: "dismissOpened" });
  });

  it("says what others can see on the way to a server without TLS", () => {
    show(STATES["lobby-opened-exposed"]);
    expect(root.querySelector(".opened")?.textContent).toContain(words.server.exposed);
  });
});

describe("recent calls", () => {
  it("can be rung again, removed and cleared", () => {
    const view = show(STATES["lobby-recents"]);
    press("call-again");
    expect(calls(view.act.call)).toEqual([{ type: "callRecent", id: 50 }]);
    press("remove-recent");
    expect(calls(view.act.send)).toContainEqual({ type: "removeRecent", id: 50 });
  });
});

describe("the first start", () => {
  it("offers three ways, and goes on with what was chosen", () => {
    const view = show(STATES.welcome);
    press("way-invite");
    press("way-meet");
    expect(calls(view.act.withServer)).toEqual([{ type: "invite" }, null]);
    press("way-nearby");
    expect(calls(view.act.welcome)).toEqual([{ type: "openNearby" }]);
  });

  it("asks for a server where one is missing", () => {
    const view = show(STATES.welcome, { setup: { then: null } });
    expect(action("use-server").disabled).toBe(true);
    press("leave-setup");
    expect(view.act.leaveSetup).toHaveBeenCalledOnce();
    expect(has("[data-action=way-invite]")).toBe(false);
  });

  it("is not shown again", () => {
    show(makeState());
    expect(has("[data-action=way-invite]")).toBe(false);
  });
});

describe("the server", () => {
  it("is named, with what is wrong and without buttons that lead into an error", () => {
    const view = show(STATES["lobby-unreachable"]);
    expect(root.querySelector("[data-server]")?.textContent).toContain("chat.example.org");
    expect(action("invite").disabled && action("find-partner").disabled).toBe(true);
    press("retry-server");
    expect(calls(view.act.send)).toEqual([{ type: "retryServer" }]);
  });
});

describe("the end of a call", () => {
  const again = () => has("[data-action=search-again]");

  it("offers another call only where there can be one", () => {
    show(STATES["ended-invite-used"]);
    expect(again()).toBe(false);
    show(STATES["ended-ringing"]);
    expect(action("search-again").textContent).toBe(words.ended.again);
  });

  it("says that someone who was called is not there, not that an invite is wrong", () => {
    show(STATES["ended-away"]);
    expect(root.querySelector("#end-reason")?.textContent).toBe(words.ended.away);
  });
});

describe("closing in a call", () => {
  it("asks, and Escape means to stay", () => {
    const view = show(STATES["in-call-closing"]);
    press("stay");
    press("close-anyway");
    root.querySelector("#confirm-close")?.dispatchEvent(new Event("cancel"));
    const answers = calls(view.act.send) as Extract<Command, { type: "confirmClose" }>[];
    expect(answers.map(({ close }) => close)).toEqual([false, true, false]);
  });
});

describe("an opened code without a server", () => {
  it("says so, and asks for one before it calls", () => {
    const view = show(STATES["lobby-opened-no-server"]);
    expect(root.querySelector(".opened")?.textContent).toContain(words.opened.noServer);
    press("join-opened");
    expect(calls(view.act.withServer)).toEqual([{ type: "joinOpened" }]);
    expect(calls(view.act.call)).toEqual([]);
  });
});

describe("waiting", () => {
  it("asks to share a code, but not one that came from the other person", () => {
    show(STATES["waiting-room"]);
    expect(root.textContent).toContain(words.waiting.hintRoom);
    show(STATES["waiting-guest"]);
    expect(root.textContent).not.toContain(words.waiting.hintRoom);
    expect(root.textContent).toContain(words.waiting.hintInvited);
  });
});

describe("the server's address in the settings", () => {
  it.each(["waiting", "in-call", "connecting"])("applies from the next call on: %s", (name) => {
    show(STATES[name], { settingsOpen: true });
    expect(root.querySelector("[data-note=next-call]")?.textContent).toBe(
      words.settings.serverNextCall,
    );
  });

  it.each(["lobby", "ended"])("applies at once between calls: %s", (name) => {
    show(STATES[name], { settingsOpen: true });
    expect(has("[data-note=next-call]")).toBe(false);
  });
});
