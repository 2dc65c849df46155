// The guest's camera and microphone: opening, choosing, switching off, and what went wrong.

export type Kind = "camera" | "microphone";

/** Why a device can't be used. */
export type DeviceProblem = "denied" | "missing" | "inUse" | "failed";

/** A device in a menu. */
export interface Device {
  id: string;
  name: string;
}

export interface MediaState {
  /** `idle`: the user has not been asked for the devices yet. */
  status: "idle" | "asking" | "ready";
  /** The browser has been asking for long: its question may have been closed without an answer. */
  canAskAgain: boolean;
  cameraOn: boolean;
  muted: boolean;
  camera: MediaStreamTrack | null;
  microphone: MediaStreamTrack | null;
  problems: Partial<Record<Kind, DeviceProblem>>;
  devices: Record<Kind | "speaker", Device[]>;
  chosen: Record<Kind | "speaker", string>;
}

/** Whether nothing of this kind is sent: it is switched off, or there is a problem with the device. */
export function isOff(kind: Kind, state: MediaState): boolean {
  const switchedOff = kind === "camera" ? !state.cameraOn : state.muted;
  return switchedOff || (state[kind] === null && state.problems[kind] !== undefined);
}

const CONSTRAINTS = {
  camera: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } },
  microphone: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
} as const;

/** How long a question is on the screen before it may have been overlooked, or closed. */
const LONG_MS = 5_000;

const KINDS = { videoinput: "camera", audioinput: "microphone", audiooutput: "speaker" } as const;

/** The browser's name of a fault (Media Capture and Streams §10.2) as a problem. */
function problemOf(error: unknown): DeviceProblem {
  switch (error instanceof Error ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "inUse";
    default:
      return "failed";
  }
}

/** The part of `navigator.mediaDevices` that is used. */
export type Devices = Pick<
  MediaDevices,
  "getUserMedia" | "enumerateDevices" | "addEventListener" | "removeEventListener"
>;

export class Media {
  state: MediaState = {
    status: "idle",
    canAskAgain: false,
    cameraOn: true,
    muted: false,
    camera: null,
    microphone: null,
    problems: {},
    devices: { camera: [], microphone: [], speaker: [] },
    chosen: { camera: "", microphone: "", speaker: "" },
  };

  readonly #devices: Devices;
  readonly #changed: () => void;
  /** Changes with each `close`, so that devices that come later are closed, too. */
  #use = 0;

  /** Calls `changed` after every change of `state`. */
  constructor(devices: Devices, changed: () => void) {
    this.#devices = devices;
    this.#changed = changed;
    devices.addEventListener("devicechange", () => {
      if (this.state.status === "ready") void this.#list();
    });
  }

  /** Asks for the devices that are switched on and not open yet. */
  async open(): Promise<void> {
    if (this.state.status === "asking") return;
    const use = this.#use;
    const wanted = (["camera", "microphone"] as const).filter(
      (kind) => this.state[kind] === null && (kind === "microphone" || this.state.cameraOn),
    );
    this.#set({ status: "asking", canAskAgain: false });
    const overlooked = setTimeout(() => {
      if (use === this.#use) this.#set({ canAskAgain: true });
    }, LONG_MS);
    await this.#openTogether(wanted, use);
    clearTimeout(overlooked);
    if (use !== this.#use) return;
    this.#set({ status: "ready", canAskAgain: false });
    await this.#list();
  }

  /** Asks once more. Firefox keeps a question that was closed waiting, and the first one has no end. */
  async askAgain(): Promise<void> {
    if (!this.state.canAskAgain) return;
    this.close();
    await this.open();
  }

  /** One question for both devices where that works, else one for each. */
  async #openTogether(wanted: Kind[], use: number): Promise<void> {
    if (wanted.length === 2) {
      try {
        const stream = await this.#request(["camera", "microphone"]);
        this.#take(stream, use);
        return;
      } catch (error) {
        if (use !== this.#use) return;
        // A refusal is for both: asking again for each would be a nuisance.
        if (problemOf(error) === "denied") {
          this.#set({ problems: { camera: "denied", microphone: "denied" } });
          return;
        }
      }
    }
    for (const kind of wanted) {
      if (use === this.#use) await this.#openOne(kind, use);
    }
  }

  async #openOne(kind: Kind, use: number): Promise<void> {
    try {
      this.#take(await this.#request([kind]), use);
    } catch (error) {
      if (use !== this.#use) return;
      this.#set({ problems: { ...this.state.problems, [kind]: problemOf(error) } });
    }
  }

  #request(kinds: Kind[]): Promise<MediaStream> {
    const constraint = (kind: Kind) => {
      if (!kinds.includes(kind)) return false;
      const id = this.state.chosen[kind];
      return id === "" ? CONSTRAINTS[kind] : { ...CONSTRAINTS[kind], deviceId: { exact: id } };
    };
    return this.#devices.getUserMedia({
      video: constraint("camera"),
      audio: constraint("microphone"),
    });
  }

  #take(stream: MediaStream, use: number): void {
    for (const track of stream.getTracks()) {
      const kind = track.kind === "video" ? "camera" : "microphone";
      // The page was left, or the camera switched off, while the browser asked.
      if (use !== this.#use || (kind === "camera" && !this.state.cameraOn)) {
        track.stop();
        continue;
      }
      this.state[kind]?.stop();
      if (kind === "microphone") track.enabled = !this.state.muted;
      track.addEventListener("ended", () => void this.#lost(kind, track));
      const problems = { ...this.state.problems };
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a record of two keys
      delete problems[kind];
      this.#set({ [kind]: track, problems });
    }
  }

  /** A device was unplugged, or its permission withdrawn: takes another one if there is one. */
  async #lost(kind: Kind, track: MediaStreamTrack): Promise<void> {
    if (this.state[kind] !== track) return;
    this.#set({ [kind]: null, chosen: { ...this.state.chosen, [kind]: "" } });
    await this.#openOne(kind, this.#use);
    await this.#list();
  }

  /** Uses another device. If it can't be opened, the one before goes on. */
  async choose(kind: Kind | "speaker", id: string): Promise<void> {
    this.#set({ chosen: { ...this.state.chosen, [kind]: id } });
    if (kind === "speaker") return;
    if (kind === "camera" && !this.state.cameraOn) return;
    await this.#openOne(kind, this.#use);
  }

  /** Unmuting also tries a microphone again that could not be opened. */
  async setMuted(muted: boolean): Promise<void> {
    if (this.state.microphone) this.state.microphone.enabled = !muted;
    this.#set({ muted });
    if (!muted && !this.state.microphone && this.state.status === "ready")
      await this.#openOne("microphone", this.#use);
  }

  /** Switches the camera itself, so that its light goes out. */
  async setCameraOn(cameraOn: boolean): Promise<void> {
    if (cameraOn) {
      this.#set({ cameraOn });
      if (this.state.status === "ready") await this.#openOne("camera", this.#use);
    } else {
      this.state.camera?.stop();
      this.#set({ cameraOn, camera: null });
    }
  }

  /** Closes both devices. */
  close(): void {
    this.#use += 1;
    this.state.camera?.stop();
    this.state.microphone?.stop();
    this.#set({
      status: "idle",
      canAskAgain: false,
      camera: null,
      microphone: null,
      problems: {},
    });
  }

  async #list(): Promise<void> {
    const devices: MediaState["devices"] = { camera: [], microphone: [], speaker: [] };
    try {
      for (const { kind, deviceId, label } of await this.#devices.enumerateDevices()) {
        // Chromium lists the default device a second time.
        if (deviceId === "" || deviceId === "default" || deviceId === "communications") continue;
        devices[KINDS[kind]].push({ id: deviceId, name: label });
      }
    } catch {
      // Without a list there is nothing to choose from; the default devices work.
    }
    this.#set({ devices });
  }

  #set(change: Partial<MediaState>): void {
    this.state = { ...this.state, ...change };
    this.#changed();
  }
}
