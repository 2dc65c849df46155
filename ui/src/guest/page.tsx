// The guest page: reads its address, renders each change, and does what is clicked.

import { render } from "preact";

import { words } from "../locale";
import { withName } from "../person";
import { ThemeSwitch } from "../theme";
import { untilNextSecond } from "../time";
import { appLink, inviteIn, type Invite } from "./address";
import { Call } from "./call";
import type { Phase } from "./call-events";
import { type Devices, isOff, type Kind, Media } from "./media";
import { partnerOf } from "./partner";
import { Screen } from "./screens";
import { MAX_NAME_CHARS } from "./start";
import { obstacle } from "./support";
import type { GuestActions, GuestView } from "./view";

const START: Phase = { kind: "start" };

/** The name under which the browser keeps the guest's name, for this tab only. */
const NAME = "name";

/** A page without devices: where the browser can't call. */
const NO_DEVICES: Devices = {
  getUserMedia: () => Promise.reject(new DOMException("", "NotFoundError")),
  enumerateDevices: () => Promise.resolve([]),
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
};

export class GuestPage {
  readonly #root: HTMLElement;
  readonly #announcer: HTMLElement | null;
  readonly #obstacle: GuestView["obstacle"];
  readonly #media: Media;
  readonly #downloadUrl: string | null;
  #invite: Invite | null = null;
  #call: Call | null = null;
  #name = storedName();
  /** The user has joined before, knowing that a device is missing. */
  #goesWithout = false;
  #devicesOpen = false;
  #soundBlocked = false;
  #shown: Phase["kind"] = "start";
  #clock: ReturnType<typeof setTimeout> | undefined;

  constructor(root: HTMLElement) {
    this.#root = root;
    const { download = "" } = root.dataset;
    this.#downloadUrl = download === "" ? null : download;
    this.#announcer = document.getElementById("announcer");
    const has = {
      isSecureContext,
      // Missing where the page is not encrypted, and in old browsers, whatever the types say.
      mediaDevices: navigator.mediaDevices as MediaDevices | undefined,
      RTCPeerConnection: globalThis.RTCPeerConnection as unknown,
      WebSocket: globalThis.WebSocket as unknown,
    };
    this.#obstacle = root.dataset.calls === "off" ? "off" : obstacle(has);
    this.#media = new Media(has.mediaDevices ?? NO_DEVICES, () => {
      this.#call?.updateTracks();
      this.#render();
    });
  }

  start(): void {
    new ThemeSwitch();
    addEventListener("hashchange", () => {
      this.#read();
    });
    // Closed, reloaded, or left by the back button: the other person need not wait.
    addEventListener("pagehide", () => {
      this.#call?.leave();
      this.#media.close();
    });
    document.addEventListener("fullscreenchange", () => {
      this.#render();
    });
    this.#read();
  }

  /** Takes the call from the address. Another link ends the call of the one before. */
  #read(): void {
    this.#call?.leave();
    this.#invite = inviteIn(location);
    const changed = () => {
      this.#changed();
    };
    this.#call = this.#invite && new Call(this.#invite, changed, () => this.#media.state);
    document.title =
      this.#invite === null ? words.guest.pageTitleIncomplete : words.guest.pageTitle;
    this.#render();
  }

  /** The call has changed. */
  #changed(): void {
    const { kind } = this.#phase;
    const was = this.#shown;
    if (kind !== "inCall") {
      this.#devicesOpen = false;
      this.#soundBlocked = false;
    }
    if (kind === "ended" && was !== "ended") {
      this.#media.close();
      if (document.fullscreenElement) void document.exitFullscreen();
    }
    this.#render();
    if (kind === was) return;

    this.#shown = kind;
    // Screen readers begin at the heading of the new screen.
    document.getElementById("heading")?.focus();
    this.#announce();
  }

  get #phase(): Phase {
    return this.#call?.phase ?? START;
  }

  #announce(): void {
    const phase = this.#phase;
    if (phase.kind !== "connecting" && phase.kind !== "inCall") return;
    this.#say(withName(words.announce[phase.kind], partnerOf(phase.partner)));
  }

  async #join(): Promise<void> {
    const hasProblems = () => Object.keys(this.#media.state.problems).length > 0;
    const { status } = this.#media.state;
    if (status === "asking") return;
    if (status === "idle") {
      await this.#media.open();
      // The browser was asked once more, and that question is open.
      if (this.#media.state.status !== "ready") return;
      // What is missing is said first; the next click goes on without it.
      if (hasProblems() && !this.#goesWithout) {
        this.#call?.toStart();
        return;
      }
    }
    this.#goesWithout = hasProblems();
    this.#call?.knock(Array.from(this.#name).slice(0, MAX_NAME_CHARS).join(""));
  }

  /** Says whether the device is on once it is `switched`. If it can't be used, its problem is said. */
  async #switch(kind: Kind, switched: Promise<void>): Promise<void> {
    await switched;
    const { state } = this.#media;
    const off = isOff(kind, state);
    if (off && state.problems[kind] !== undefined) return;
    const a = words.announce;
    if (kind === "camera") this.#say(off ? a.cameraOff : a.cameraOn);
    else this.#say(off ? a.muted : a.unmuted);
  }

  readonly #actions: GuestActions = {
    setName: (name) => {
      this.#name = name;
      storeName(name);
      this.#render();
    },
    preview: () => void this.#media.open(),
    askAgain: () => void this.#media.askAgain(),
    join: () => void this.#join(),
    leave: () => this.#call?.leave(),
    toStart: () => this.#call?.toStart(),
    setMuted: (muted) => void this.#switch("microphone", this.#media.setMuted(muted)),
    setCameraOn: (on) => void this.#switch("camera", this.#media.setCameraOn(on)),
    choose: (kind, id) => void this.#media.choose(kind, id),
    toggleDevices: () => {
      this.#devicesOpen = !this.#devicesOpen;
      this.#render();
    },
    toggleFullScreen: () => {
      if (document.fullscreenElement) void document.exitFullscreen();
      else document.documentElement.requestFullscreen().catch(() => undefined);
    },
    playSound: () => {
      this.#soundBlocked = false;
      const remote = document.getElementById("remote");
      if (remote instanceof HTMLVideoElement) void remote.play();
      this.#render();
    },
    soundBlocked: () => {
      this.#soundBlocked = true;
      this.#render();
    },
  };

  #say(text: string): void {
    if (this.#announcer) this.#announcer.textContent = text;
  }

  #render(): void {
    const phase = this.#phase;
    const view: GuestView = {
      nowMs: performance.now(),
      invite: this.#invite,
      appLink: this.#invite && appLink(location, this.#invite),
      server: location.host,
      downloadUrl: this.#downloadUrl,
      obstacle: this.#obstacle,
      phase,
      media: this.#media.state,
      remote: this.#call?.remote ?? null,
      noVideo: phase.kind === "inCall" && this.#call?.sharesVideo === false,
      name: this.#name,
      devicesOpen: this.#devicesOpen,
      isFullScreen: document.fullscreenElement !== null,
      canFullScreen: document.fullscreenEnabled,
      canCopy: "clipboard" in navigator,
      canChooseSpeaker: "setSinkId" in HTMLMediaElement.prototype,
      soundBlocked: this.#soundBlocked,
      act: this.#actions,
    };
    render(<Screen {...view} />, this.#root);
    this.#tick(view);
  }

  /** Renders again when the clock on the screen shows another second. */
  #tick({ phase, nowMs }: GuestView): void {
    clearTimeout(this.#clock);
    const since =
      phase.kind === "knocking"
        ? phase.sinceMs
        : phase.kind === "inCall"
          ? phase.connectedAtMs
          : null;
    if (since === null) return;
    this.#clock = setTimeout(
      () => {
        this.#render();
      },
      untilNextSecond(since, nowMs),
    );
  }
}

function storedName(): string {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/** So that a reload keeps it. A browser that keeps nothing asks again. */
function storeName(name: string): void {
  try {
    sessionStorage.setItem(NAME, name);
  } catch {
    // Nothing depends on it.
  }
}
