import { describe, expect, it, vi } from "vitest";

import { type Devices, isOff, Media } from "./media";

class FakeTrack extends EventTarget {
  enabled = true;
  isStopped = false;
  constructor(
    readonly kind: "video" | "audio",
    readonly id: string,
  ) {
    super();
  }
  stop() {
    this.isStopped = true;
  }
}

const fault = (name: string) => Object.assign(new Error(name), { name });

/** Devices that fail as `faults` says, by kind. */
function devices(faults: Partial<Record<"video" | "audio", string>> = {}) {
  const requests: MediaStreamConstraints[] = [];
  const opened: FakeTrack[] = [];
  const events = new EventTarget();
  const it: Devices = {
    getUserMedia: (constraints = {}) => {
      requests.push(constraints);
      const kinds = (["video", "audio"] as const).filter((kind) => constraints[kind]);
      const failed = kinds.map((kind) => faults[kind]).find((name) => name !== undefined);
      if (failed !== undefined) return Promise.reject(fault(failed));
      const tracks = kinds.map((kind) => new FakeTrack(kind, `${kind}-${requests.length}`));
      opened.push(...tracks);
      return Promise.resolve({ getTracks: () => tracks } as unknown as MediaStream);
    },
    enumerateDevices: () =>
      Promise.resolve([
        { kind: "videoinput", deviceId: "cam", label: "Front" },
        { kind: "audioinput", deviceId: "default", label: "Default" },
        { kind: "audioinput", deviceId: "mic", label: "Headset" },
      ] as MediaDeviceInfo[]),
    addEventListener: events.addEventListener.bind(events),
    removeEventListener: events.removeEventListener.bind(events),
  };
  return { it, requests, opened, faults };
}

const media = (it: Devices) => new Media(it, () => undefined);

describe("camera and microphone", () => {
  it("are opened with one question, and listed", async () => {
    const { it, requests } = devices();
    const both = media(it);
    expect(requests).toHaveLength(0);
    await both.open();
    expect(requests).toHaveLength(1);
    expect(both.state).toMatchObject({
      status: "ready",
      camera: { kind: "video" },
      microphone: { kind: "audio" },
      problems: {},
      devices: { camera: [{ id: "cam", name: "Front" }], microphone: [{ id: "mic" }] },
    });
  });

  it("are asked for once if the user refuses", async () => {
    const { it, requests } = devices({ video: "NotAllowedError", audio: "NotAllowedError" });
    const refused = media(it);
    await refused.open();
    expect(requests).toHaveLength(1);
    expect(refused.state).toMatchObject({
      status: "ready",
      camera: null,
      microphone: null,
      problems: { camera: "denied", microphone: "denied" },
    });
  });

  it("are asked for again if the question was closed without an answer", async () => {
    vi.useFakeTimers();
    const { it, opened } = devices();
    const answers: (() => void)[] = [];
    const ask = it.getUserMedia.bind(it);
    it.getUserMedia = async (constraints) => {
      await new Promise<void>((resolve) => answers.push(resolve));
      return ask(constraints);
    };

    const both = media(it);
    const first = both.open();
    await vi.advanceTimersByTimeAsync(4_900);
    expect(both.state).toMatchObject({ status: "asking", canAskAgain: false });
    await both.askAgain();
    expect(answers).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(both.state.canAskAgain).toBe(true);

    const second = both.askAgain();
    expect(both.state).toMatchObject({ status: "asking", canAskAgain: false });
    answers[1]?.();
    await second;
    expect(both.state).toMatchObject({ status: "ready", camera: opened[0], canAskAgain: false });

    // The first question has an answer after all.
    answers[0]?.();
    await first;
    expect(both.state.camera).toBe(opened[0]);
    expect(opened.slice(2).map((track) => track.isStopped)).toEqual([true, true]);
    vi.useRealTimers();
  });

  it("work one without the other", async () => {
    const { it } = devices({ video: "NotReadableError" });
    const half = media(it);
    await half.open();
    expect(half.state.problems).toEqual({ camera: "inUse" });
    expect(half.state.microphone).toMatchObject({ kind: "audio" });

    const none = media(devices({ video: "NotFoundError", audio: "NotFoundError" }).it);
    await none.open();
    expect(none.state.problems).toEqual({ camera: "missing", microphone: "missing" });
  });

  it("can be switched off: the camera stops, the microphone is silent", async () => {
    const { it, opened } = devices();
    const both = media(it);
    await both.open();
    await both.setMuted(true);
    expect(opened[1]).toMatchObject({ kind: "audio", enabled: false, isStopped: false });
    await both.setCameraOn(false);
    expect(opened[0]).toMatchObject({ kind: "video", isStopped: true });
    expect(both.state.camera).toBeNull();
    await both.setCameraOn(true);
    expect(both.state.camera).toBe(opened[2]);
  });

  it("count as off while they can't be used, and are tried again by switching them on", async () => {
    const { it, requests, faults } = devices({
      video: "NotAllowedError",
      audio: "NotAllowedError",
    });
    const both = media(it);
    expect(isOff("camera", both.state), "before anybody asked").toBe(false);
    await both.open();
    expect(isOff("camera", both.state)).toBe(true);
    expect(isOff("microphone", both.state)).toBe(true);

    // The user has allowed them in the browser's settings.
    delete faults.video;
    delete faults.audio;
    await both.setMuted(false);
    expect(requests.at(-1)).toMatchObject({ video: false, audio: {} });
    expect(isOff("microphone", both.state)).toBe(false);
    await both.setCameraOn(true);
    expect(isOff("camera", both.state)).toBe(false);
    expect(both.state.problems).toEqual({});

    await both.setMuted(true);
    expect(isOff("microphone", both.state)).toBe(true);
  });

  it("stay muted with another microphone", async () => {
    const { it, opened, requests } = devices();
    const both = media(it);
    await both.open();
    await both.setMuted(true);
    await both.choose("microphone", "mic");
    expect(requests[1]).toMatchObject({ audio: { deviceId: { exact: "mic" } }, video: false });
    expect(opened[1]).toMatchObject({ isStopped: true });
    expect(opened[2]).toMatchObject({ enabled: false, isStopped: false });
  });

  it("keep the device before if another one can't be opened", async () => {
    const { it, opened, faults } = devices();
    const both = media(it);
    await both.open();
    faults.video = "NotReadableError";
    await both.choose("camera", "cam");
    expect(both.state.camera).toBe(opened[0]);
    expect(opened[0]).toMatchObject({ isStopped: false });
    expect(both.state.problems).toEqual({ camera: "inUse" });
  });

  it("are replaced when they are unplugged", async () => {
    const { it, opened } = devices();
    const both = media(it);
    await both.open();
    await both.choose("camera", "cam");
    opened[2]?.dispatchEvent(new Event("ended"));
    await expect.poll(() => both.state.camera).toBe(opened[3]);
    expect(both.state.chosen.camera).toBe("");
  });

  it("are closed with the page, also if they come later", async () => {
    const { it, opened } = devices();
    const both = media(it);
    const opening = both.open();
    both.close();
    await opening;
    expect(opened.every(({ isStopped }) => isStopped)).toBe(true);
    expect(both.state).toMatchObject({ status: "idle", camera: null, microphone: null });
  });
});
