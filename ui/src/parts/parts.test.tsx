// The parts that screens are made of, each by itself.

import jsQR from "jsqr";
import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { words } from "../locale";
import { InviteCard } from "../screens/invite";
import { Welcome } from "../screens/welcome";
import { HOSTILE, NOW } from "../testing/states";
import { GUARD_MS, IncomingCall } from "./incoming-call";
import { QrCode } from "./qr-code";
import { Recents } from "./recents";

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
});
afterEach(() => {
  render(null, root);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const show = (what: ComponentChild) => {
  void act(() => {
    render(what, root);
  });
};
const find = <E extends Element = HTMLElement>(selector: string): E => {
  const found = root.querySelector<E>(selector);
  if (!found) throw new Error(`${selector} is not there: ${root.innerHTML}`);
  return found;
};
const action = (name: string) => find<HTMLButtonElement>(`[data-action="${name}"]`);
const press = async (name: string) => {
  await act(async () => {
    action(name).click();
    // What follows a press takes a few turns.
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  });
};

const LINK = "https://chat.example.org/j/7#garden-lantern";
const INVITE = {
  code: "7-garden-lantern",
  appLink: "tandem://join/chat.example.org/7#garden-lantern",
  webLink: LINK,
  server: "chat.example.org",
};

/** What a scanner reads from the SVG, which is drawn with `scale` pixels for each module. */
function scan(svg: Element, scale = 4): string | undefined {
  const modules = Number(svg.getAttribute("viewBox")?.split(" ")[2]);
  const size = modules * scale;
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  const path = svg.querySelector(".qr-dark")?.getAttribute("d") ?? "";
  for (const [, x, y, width] of path.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/gu)) {
    for (let row = Number(y) * scale; row < (Number(y) + 1) * scale; row++) {
      const start = (row * size + Number(x) * scale) * 4;
      for (let at = start; at < start + Number(width) * scale * 4; at++) {
        if (at % 4 !== 3) pixels[at] = 0;
      }
    }
  }
  return jsQR(pixels, size, size)?.data;
}

describe("a QR code", () => {
  it.each([LINK, "tandem://join/h:9/7?at=192.168.1.20:9#a-b", "ä€😀", "x".repeat(800)])(
    "is read by a scanner as what it says: %s",
    (text) => {
      show(<QrCode text={text} label="a label" />);
      expect(scan(find("svg"))).toBe(text);
      expect(find("svg").getAttribute("aria-label")).toBe("a label");
    },
  );

  it("has an empty margin of four modules", () => {
    show(<QrCode text={LINK} label="a label" />);
    const path = find(".qr-dark").getAttribute("d") ?? "";
    const starts = Array.from(path.matchAll(/M(\d+) (\d+)/gu), ([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    expect(Math.min(...starts.flat())).toBe(4);
  });
});

describe("an invite", () => {
  it("shows the code and both links, and marks which link the server can read", () => {
    show(<InviteCard {...INVITE} />);
    expect(find("#invite-code").textContent).toBe(INVITE.code);
    expect(find("#invite-app-link").textContent).toBe(INVITE.appLink);
    expect(find("#invite-web-link").textContent).toBe(LINK);
    const note = find("#invite-web-link").closest(".field")?.querySelector(".hint")?.textContent;
    expect(note).toBe("The website at chat.example.org can see the words of the code.");
    expect(scan(find("svg.qr-code"))).toBe(LINK);
  });

  it("does without a link where none can name the server", () => {
    show(<InviteCard {...INVITE} webLink={null} />);
    expect(root.querySelector("#invite-web-link")).toBeNull();
    expect(root.textContent).not.toContain("{");
    expect(scan(find("svg.qr-code"))).toBe(INVITE.appLink);
  });

  it("copies what its buttons say, says so once, and becomes itself again", async () => {
    vi.useFakeTimers();
    const writeText = vi.fn().mockResolvedValue(undefined);
    vi.stubGlobal("navigator", { userAgent: "X11", clipboard: { writeText } });
    show(<InviteCard {...INVITE} />);
    await press("copy-code");
    await press("copy-app-link");
    expect(writeText.mock.calls.flat()).toEqual([INVITE.code, INVITE.appLink]);
    expect(action("copy-code").textContent).toBe(words.copy.copied);
    expect(find(".copy [role=status]").textContent).toBe(words.copy.copied);
    void act(() => {
      vi.advanceTimersByTime(3000);
    });
    expect(action("copy-code").textContent).toBe(words.invite.copyCode);
    expect(find(".copy [role=status]").textContent).toBe("");
  });

  it("selects the text where the clipboard is refused, and says which keys copy it", async () => {
    const writeText = vi.fn().mockRejectedValue(new DOMException("no", "NotAllowedError"));
    vi.stubGlobal("navigator", { userAgent: "X11", clipboard: { writeText } });
    Object.assign(document, { execCommand: () => false });
    show(<InviteCard {...INVITE} />);
    await press("copy-code");
    expect(getSelection()?.toString()).toBe(INVITE.code);
    expect(action("copy-code").textContent).toBe("Press Ctrl+C");
    Object.assign(document, { execCommand: () => true });
    await press("copy-web-link");
    expect(action("copy-web-link").textContent, "the old way worked").toBe(words.copy.copied);
  });
});

describe("an incoming call", () => {
  const answers = () => ({ onAccept: vi.fn(), onDecline: vi.fn() });
  const call = { name: "Amara", picture: null, room: null, onAcceptSound: null };

  it("takes no click that was meant for what it moved", () => {
    vi.useFakeTimers();
    const { onAccept, onDecline } = answers();
    const wait = (ms: number) => {
      void act(() => {
        vi.advanceTimersByTime(ms);
      });
    };
    const clickAll = () => {
      for (const name of ["accept-call", "accept-sound", "decline-call"]) action(name).click();
    };
    const card = (key: number) => (
      <IncomingCall
        key={key}
        {...call}
        onAccept={onAccept}
        onAcceptSound={onAccept}
        onDecline={onDecline}
      />
    );

    show(card(1));
    wait(GUARD_MS - 1);
    clickAll();
    expect([onAccept.mock.calls.length, onDecline.mock.calls.length]).toEqual([0, 0]);
    wait(1);
    clickAll();
    expect([onAccept.mock.calls.length, onDecline.mock.calls.length]).toEqual([2, 1]);

    // Someone else rings in the same place.
    show(card(2));
    clickAll();
    expect([onAccept.mock.calls.length, onDecline.mock.calls.length]).toEqual([2, 1]);
  });

  it("says who calls, once, and takes an answer", () => {
    vi.useFakeTimers();
    const { onAccept, onDecline } = answers();
    show(<IncomingCall {...call} onAccept={onAccept} onDecline={onDecline} />);
    const alert = find("[role=alert]");
    const spoken = alert.firstChild;
    expect(alert.textContent).toBe("Amara is calling");
    show(<IncomingCall {...call} onAccept={onAccept} onDecline={onDecline} />);
    void act(() => {
      vi.advanceTimersByTime(GUARD_MS);
    });
    expect(find("[role=alert]").firstChild, "not spoken again").toBe(spoken);
    action("accept-call").click();
    action("decline-call").click();
    expect([onAccept.mock.calls.length, onDecline.mock.calls.length]).toEqual([1, 1]);
  });

  it("takes the focus itself, not one of its buttons, and gives it back", () => {
    const button = document.body.appendChild(document.createElement("button"));
    button.focus();
    show(<IncomingCall {...call} {...answers()} />);
    expect(document.activeElement).toBe(find(".incoming"));
    show(null);
    expect(document.activeElement).toBe(button);
  });

  it("leaves the focus in a text field", () => {
    const field = document.body.appendChild(document.createElement("input"));
    field.focus();
    show(<IncomingCall {...call} {...answers()} />);
    expect(document.activeElement).toBe(field);
  });

  it("is not declined by Escape, nor accepted by Enter on the card", () => {
    const { onAccept, onDecline } = answers();
    show(<IncomingCall {...call} onAccept={onAccept} onDecline={onDecline} />);
    for (const key of ["Escape", "Enter", " "]) {
      find(".incoming").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    }
    expect(onAccept).not.toHaveBeenCalled();
    expect(onDecline).not.toHaveBeenCalled();
  });

  it("shows a hostile profile as text, and someone without a name", () => {
    const { name, picture } = HOSTILE;
    show(<IncomingCall {...call} name={name} picture={picture} room={name} {...answers()} />);
    expect(root.querySelector("img, b, script")).toBeNull();
    expect(root.textContent).not.toMatch(/[\u0000-\u001f\u202a-\u202e]/u);
    show(null);
    show(<IncomingCall {...call} name={" \u202E"} {...answers()} />);
    expect(find("[role=alert]").textContent).toBe("The other person is calling");
  });
});

describe("recent calls", () => {
  const handlers = () => ({ onCall: vi.fn(), onRemove: vi.fn(), onClear: vi.fn() });
  const calls = [
    { id: "a", name: "Amara", when: NOW - 60_000, callable: true },
    { id: "b", name: "", when: NOW - 3 * 86_400_000, callable: false },
  ];

  it("can be called again where that is possible, and removed one by one", () => {
    const on = handlers();
    show(<Recents calls={calls} nowMs={NOW} {...on} />);
    const rows = root.querySelectorAll(".recent");
    expect(rows[0]?.textContent).toContain("Amara");
    expect(rows[1]?.textContent).toContain(words.recents.notCallable);
    expect(root.querySelectorAll("[data-action=call-again]")).toHaveLength(1);
    expect(action("call-again").getAttribute("aria-label")).toBe("Call again: Amara");
    action("call-again").click();
    rows[1]?.querySelector<HTMLButtonElement>("[data-action=remove-recent]")?.click();
    expect(on.onCall).toHaveBeenCalledWith("a");
    expect(on.onRemove).toHaveBeenCalledWith("b");
  });

  it("are cleared only after a second press", async () => {
    const on = handlers();
    show(<Recents calls={calls} nowMs={NOW} {...on} />);
    await press("clear-recents");
    await press("keep-recents");
    await press("clear-recents");
    expect(on.onClear).not.toHaveBeenCalled();
    await press("clear-recents-sure");
    expect(on.onClear).toHaveBeenCalledOnce();
  });

  it("show nothing when there are none", () => {
    show(<Recents calls={[]} nowMs={NOW} {...handlers()} />);
    expect(root.innerHTML).toBe("");
  });
});

describe("the first start", () => {
  it("offers three ways to call, each with what it needs, and takes an invite", () => {
    const on = { onInvite: vi.fn(), onNearby: vi.fn(), onMeet: vi.fn(), onJoin: vi.fn() };
    const text = (typed: string) => {
      show(<Welcome {...on} text={typed} onText={vi.fn()} />);
    };
    text("  ");
    for (const way of ["way-invite", "way-nearby", "way-meet"]) {
      action(way).click();
      const needs = action(way).getAttribute("aria-describedby") ?? "";
      expect(find(`#${needs}`).textContent).toMatch(/\.$/u);
    }
    const submit = () =>
      find<HTMLFormElement>("form").dispatchEvent(new Event("submit", { cancelable: true }));
    submit();
    expect(on.onJoin, "nothing was typed").not.toHaveBeenCalled();
    text(` ${INVITE.code} `);
    submit();
    expect(on.onJoin).toHaveBeenCalledWith(INVITE.code);
    for (const way of [on.onInvite, on.onNearby, on.onMeet]) expect(way).toHaveBeenCalledOnce();
  });
});
