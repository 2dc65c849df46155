import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ShownStranger } from "./shown-stranger";
import { makeCall, makeState, STRANGER } from "./testing/states";

let visibility: DocumentVisibilityState = "visible";
let frames: FrameRequestCallback[] = [];
const tell = vi.fn<(id: number) => Promise<boolean>>();

beforeEach(() => {
  visibility = "visible";
  frames = [];
  tell.mockReset().mockResolvedValue(true);
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
  vi.stubGlobal("requestAnimationFrame", (callback: FrameRequestCallback) => frames.push(callback));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** The browser paints this many frames. */
function paint(count: number): void {
  for (let frame = 0; frame < count; frame++) {
    const due = frames;
    frames = [];
    for (const callback of due) callback(0);
  }
}

function show(hidden: boolean): void {
  visibility = hidden ? "hidden" : "visible";
  document.dispatchEvent(new Event("visibilitychange"));
}

const met = (id: number, shown = false) =>
  makeState({ screen: makeCall(), stranger: { ...STRANGER, id, shown } });

describe("who was found", () => {
  it("is told once, after a frame with it was painted", () => {
    const page = new ShownStranger(tell);
    page.follow(met(7));
    paint(1);
    expect(tell).not.toHaveBeenCalled();
    paint(1);
    expect(tell.mock.calls).toEqual([[7]]);

    // Renderings until the app's state says it.
    page.follow(met(7));
    page.follow(met(7, true));
    paint(4);
    expect(tell).toHaveBeenCalledTimes(1);

    page.follow(met(8));
    paint(2);
    expect(tell.mock.calls).toEqual([[7], [8]]);
  });

  it("is not told while the page is hidden, but as soon as it is shown", () => {
    const page = new ShownStranger(tell);
    show(true);
    page.follow(met(7));
    paint(4);
    show(false);
    show(true);
    paint(4);
    expect(tell).not.toHaveBeenCalled();

    show(false);
    paint(2);
    expect(tell.mock.calls).toEqual([[7]]);
  });

  it("is told again after a refusal, as long as they are on the screen", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    tell.mockResolvedValueOnce(false).mockResolvedValueOnce(false);
    const page = new ShownStranger(tell);
    page.follow(met(7));
    for (let told = 1; told <= 3; told++) {
      paint(2);
      expect(tell).toHaveBeenCalledTimes(told);
      // A rendering in between does not make it impatient.
      page.follow(met(7));
      await vi.advanceTimersByTimeAsync(2_000);
    }

    paint(4);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(tell, "it was taken").toHaveBeenCalledTimes(3);

    tell.mockResolvedValueOnce(false);
    page.follow(met(8));
    paint(2);
    page.follow(makeState());
    await vi.advanceTimersByTimeAsync(2_000);
    paint(4);
    expect(tell, "they are gone").toHaveBeenCalledTimes(4);
    vi.useRealTimers();
  });

  it("is not told once they are gone", () => {
    const page = new ShownStranger(tell);
    page.follow(met(7));
    paint(1);
    page.follow(makeState());
    paint(4);
    page.follow(makeState({ screen: makeCall({ known: true }) }));
    paint(4);
    expect(tell).not.toHaveBeenCalled();
  });
});
