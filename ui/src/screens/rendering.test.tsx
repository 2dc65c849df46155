// What the rest of the page relies on when it renders again: elements stay the same, text stays
// text, and nothing that others wrote into the document gets lost.

import { render } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { AppState, Command, Problem } from "../generated/contract";
import { Button } from "../parts/button";
import { PAUSE_MS } from "../parts/name-field";
import { Foreign } from "../parts/person";
import { TextField } from "../parts/text-field";
import { makeCall, makeState, makeView } from "../testing/states";
import { Page } from ".";

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
});
afterEach(() => {
  render(null, root);
});

const show = (state: AppState, settingsOpen = false) => {
  const view = makeView(state, { settingsOpen });
  render(<Page {...view} />, root);
  return view;
};
const find = <E extends Element = HTMLElement>(selector: string): E => {
  const found = root.querySelector<E>(selector);
  if (!found) throw new Error(`${selector} is not there`);
  return found;
};
const camera = (id: number): Problem => ({
  id,
  code: "CAM_IN_USE",
  place: "camera",
  detail: null,
});

describe("rendering", () => {
  it("writes text as text", () => {
    render(<Foreign text="<b>bold</b>" />, root);
    expect(root.querySelector("b")).toBeNull();
    expect(root.textContent).toBe("<b>bold</b>");
    show(makeState({ problems: [{ ...camera(1), detail: '"><i>' }] }));
    expect(root.querySelector(".problem i")).toBeNull();
    expect(find(".problem-detail").textContent).toBe('"><i>');
  });

  it("keeps the canvases of a call, and what was painted and written on them", () => {
    show(makeState({ screen: makeCall() }));
    const canvases = ["#remote", "#local"].map((id) => find<HTMLCanvasElement>(id));
    for (const canvas of canvases) {
      canvas.width = 640;
      canvas.setAttribute("data-live", "");
      canvas.classList.toggle("mirrored");
    }
    const classes = canvases.map((canvas) => canvas.className);
    find("#self-view").style.setProperty("--x", "0.25");

    for (const change of [
      { reconnectingUntilMs: 30_000, serverLost: true, muted: true },
      { partnerCameraOff: true, cameraOn: false, encrypted: false, quality: null },
      {},
    ]) {
      show(makeState({ screen: makeCall(change), problems: [camera(1)] }));
      expect(["#remote", "#local"].map((id) => find(id))).toEqual(canvases);
    }
    for (const canvas of canvases) {
      expect(canvas.isConnected).toBe(true);
      expect(canvas.width).toBe(640);
      expect(canvas.hasAttribute("data-live")).toBe(true);
      expect(canvas.hidden).toBe(false);
    }
    expect(canvases.map((canvas) => canvas.className)).toEqual(classes);
    expect(find("#self-view").style.getPropertyValue("--x")).toBe("0.25");
  });

  it("gives another screen another canvas", () => {
    show(makeState());
    const preview = find("#local");
    show(makeState({ screen: makeCall() }));
    expect(find("#local")).not.toBe(preview);
    expect(preview.isConnected).toBe(false);
  });

  it("keeps elements and changes only what differs", () => {
    show(makeState({ screen: makeCall({ quality: 3 }) }));
    const badge = find("[data-badge=quality]");
    const words = badge.querySelector("span")?.firstChild;
    show(makeState({ screen: makeCall({ quality: 1 }) }));
    expect(find("[data-badge=quality]")).toBe(badge);
    expect(badge.querySelector("span")?.firstChild).toBe(words);
    expect(badge.className).toBe("badge quality-1");
  });

  it("keeps problems and options when others come, go and change places", () => {
    const ids = [1, 2, 3].map(camera);
    show(makeState({ problems: ids }));
    const [first, second, third] = root.querySelectorAll(".problem");
    show(makeState({ problems: [camera(9), camera(3), camera(1)] }));
    const now = root.querySelectorAll(".problem");
    expect(now).toHaveLength(3);
    expect(now[1]).toBe(third);
    expect(now[2]).toBe(first);
    expect(second?.isConnected).toBe(false);
  });

  it("keeps the focus of an element when something appears before it", () => {
    show(makeState());
    const name = find<HTMLInputElement>("#name");
    name.focus();
    const problem = { ...camera(1), place: "settings" as const };
    show(makeState({ problems: [problem], preview: { status: "failed" } }));
    expect(find(".meet .problem")).not.toBeNull();
    expect(document.activeElement).toBe(name);
  });

  it("calls the handler of the last rendering, once", () => {
    const [first, second] = [vi.fn(), vi.fn()];
    const button = (onClick?: () => void) => {
      render(<Button action="a" label="A" {...(onClick ? { onClick } : {})} />, root);
      find("button").click();
    };
    button(first);
    button(second);
    button();
    expect(first).toHaveBeenCalledOnce();
    expect(second).toHaveBeenCalledOnce();
  });

  it("leaves a field alone while it has the focus", () => {
    const field = (value: string) => {
      render(<TextField id="field" value={value} onText={() => undefined} />, root);
    };
    field("from the app");
    const input = find<HTMLInputElement>("input");
    expect(input.value).toBe("from the app");
    input.focus();
    input.value = "typed";
    field("from the app");
    expect(input.value).toBe("typed");
    input.blur();
    field("from the app");
    expect(input.value).toBe("from the app");
  });

  it("shows the chosen device in its menu, also among new options", () => {
    const menu = (chosen: string | null, ...names: string[]) => {
      const state = makeState();
      const cameras = names.map((id) => ({ id, name: `name of ${id}` }));
      const devices = { ...state.devices, cameras };
      show(makeState({ devices, settings: { ...state.settings, camera: chosen } }));
      return find<HTMLSelectElement>("#camera");
    };
    const select = menu(null, "a");
    expect(select.value).toBe("");
    expect(menu("b", "a", "b")).toBe(select);
    expect(select.value).toBe("b");
    expect(select.selectedOptions[0]?.textContent).toBe("name of b");
  });

  it("draws SVG in its own namespace", () => {
    show(makeState());
    const svg = find<SVGElement>("svg");
    expect(svg.namespaceURI).toBe("http://www.w3.org/2000/svg");
    expect(svg.firstElementChild?.namespaceURI).toBe("http://www.w3.org/2000/svg");
  });

  it("sends typed text as a draft, and commits it when the user is done", () => {
    const { act } = show(makeState());
    const name = find<HTMLInputElement>("#name");
    name.value = "Kim";
    name.dispatchEvent(new Event("input"));
    name.dispatchEvent(new Event("change"));
    expect(act.draft).toHaveBeenCalledWith({ name: "Kim" });
    expect(act.commitName).toHaveBeenCalledOnce();
    expect(act.send as (command: Command) => unknown).not.toHaveBeenCalled();
  });

  it("commits the name when the user pauses, so that others see it", () => {
    vi.useFakeTimers();
    try {
      const { act } = show(makeState());
      const name = find<HTMLInputElement>("#name");
      for (const typed of ["K", "Ki", "Kim"]) {
        name.value = typed;
        name.dispatchEvent(new Event("input"));
        vi.advanceTimersByTime(PAUSE_MS - 1);
      }
      expect(act.commitName).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(act.commitName).toHaveBeenCalledOnce();
    } finally {
      vi.useRealTimers();
    }
  });

  it("closes the settings with the dialog, as the Escape key does", () => {
    const { act } = show(makeState(), true);
    find("dialog").dispatchEvent(new Event("close"));
    expect(act.closeSettings).toHaveBeenCalledOnce();
  });
});
