import { render } from "preact";
import { describe, expect, it, vi } from "vitest";

import { Media, type MediaState } from "./media";
import { DeviceToggles } from "./parts";
import type { GuestActions } from "./view";

const idle = new Media(new EventTarget() as unknown as MediaDevices, () => undefined).state;

/** The buttons for these devices, and what they do. */
function toggles(change: Partial<MediaState>) {
  const act = { setMuted: vi.fn(), setCameraOn: vi.fn() };
  const root = document.createElement("div");
  const media: MediaState = { ...idle, status: "ready", ...change };
  render(<DeviceToggles media={media} act={act as unknown as GuestActions} iconOnly />, root);
  const button = (action: string) => {
    const found = root.querySelector<HTMLButtonElement>(`[data-action=${action}]`);
    if (!found) throw new Error(`no ${action}`);
    return found;
  };
  return { act, mute: button("mute"), camera: button("camera") };
}

describe("the buttons for camera and microphone", () => {
  it("are off while the devices can't be used, and ask for them again", () => {
    const { act, mute, camera } = toggles({
      problems: { camera: "denied", microphone: "denied" },
    });
    for (const button of [mute, camera]) expect(button.dataset.off).toBe("");
    expect(mute.getAttribute("aria-label")).toBe("Unmute your microphone");
    expect(camera.getAttribute("aria-label")).toBe("Start video");
    mute.click();
    camera.click();
    expect(act.setMuted).toHaveBeenCalledWith(false);
    expect(act.setCameraOn).toHaveBeenCalledWith(true);
  });

  it("are on while the devices are sent, also when another one could not be opened", () => {
    const track = {} as MediaStreamTrack;
    const { act, mute, camera } = toggles({
      camera: track,
      microphone: track,
      problems: { camera: "inUse" },
    });
    for (const button of [mute, camera]) expect(button.dataset.off).toBeUndefined();
    mute.click();
    camera.click();
    expect(act.setMuted).toHaveBeenCalledWith(true);
    expect(act.setCameraOn).toHaveBeenCalledWith(false);
  });
});
