// The page at work: renders the app's state, and sends the app what the user does.

import { render } from "preact";

import { announcement } from "./announce";
import type { Backend, Send } from "./backend";
import { Streams } from "./frames/streams";
import type { AppState, Command } from "./generated/contract";
import { Idle } from "./idle";
import { words } from "./locale";
import { initialPage, refusalOf, type Actions, type Drafts, type PageState } from "./page-state";
import { showLevel } from "./parts/devices";
import { titleOf } from "./person";
import { LoadingPage, Page } from "./screens";
import { SelfView } from "./self-view";
import { shortcut } from "./shortcuts";
import { ShownStranger } from "./shown-stranger";
import { Store } from "./store";
import { ThemeSwitch } from "./theme";
import { untilNextSecond } from "./time";

/** Timers may fire a little early; this keeps a clock from showing the old second again. */
const CLOCK_SLACK_MS = 5;

export class App {
  readonly #root: Element;
  readonly #backend: Backend;
  readonly #store: Store;
  readonly #streams: Streams;
  readonly #theme = new ThemeSwitch();
  readonly #selfView = new SelfView();
  readonly #shownStranger: ShownStranger;
  readonly #idle: Idle;
  readonly #actions: Actions;
  #page: PageState = initialPage(Date.now());
  /** The state that the document shows now. */
  #shown: AppState | undefined;
  #rendering = false;
  /** Something asked for a rendering while one was running. */
  #stale = false;
  #clock: ReturnType<typeof setTimeout> | undefined;
  #focusBeforeSettings: Element | null = null;
  /** The age and the place that the app took last: its state may show them later. */
  #about: Pick<AppState["settings"], "age" | "location"> | null = null;

  constructor(root: Element, backend: Backend) {
    this.#root = root;
    this.#backend = backend;
    this.#store = new Store({
      fetch: () => backend.state(),
      onReachable: (reachable) => {
        if (reachable !== this.#page.reachable) this.#set({ reachable });
      },
    });
    this.#streams = new Streams(backend);
    this.#idle = new Idle(
      (idle) => {
        this.#set({ idle });
      },
      () => controlsInUse() || this.#page.settingsOpen,
    );
    this.#actions = this.#makeActions();
    this.#shownStranger = new ShownStranger(
      async (id) => !(await this.#backend.send({ type: "strangerShown", id })),
    );
    this.#store.subscribe(() => {
      this.#render();
    });

    window.addEventListener("keydown", (event) => {
      const { state } = this.#store;
      if (state && shortcut(event, state, this.#actions)) event.preventDefault();
    });
  }

  /**
   * Starts following the app. It listens for changes before it asks for the state, so that none is
   * missed in between.
   */
  async start(): Promise<void> {
    this.#render();
    await Promise.all([
      this.#backend.onStateChanged((change) => {
        this.#store.change(change);
      }),
      this.#backend.onMicrophoneLevel(showLevel),
    ]);
    await this.#store.refetch();
  }

  readonly #send: Send = async (command) => {
    const error = await this.#backend.send(command);
    const refusal = error ? refusalOf(command, error) : null;
    if (refusal ?? this.#page.refusal) this.#set({ refusal });
    // A menu or a switch goes back to what the app still has.
    else if (error) this.#render();
    return error;
  };

  #makeActions(): Actions {
    return {
      send: this.#send,
      openSettings: () => {
        if (this.#page.settingsOpen) return;
        this.#focusBeforeSettings = document.activeElement;
        this.#set({ settingsOpen: true, refusal: null });
      },
      closeSettings: () => {
        if (!this.#page.settingsOpen) return;
        void this.#actions.commitName();
        this.#actions.commitAbout();
        this.#actions.commitInterests();
        this.#actions.commitServerUrl();
        this.#actions.commitCaFile();
        this.#set({ settingsOpen: false, drafts: { ...this.#page.drafts, token: "" } });
      },
      draft: (drafts) => {
        this.#set({ drafts: { ...this.#page.drafts, ...drafts } });
      },
      commitName: async () => {
        const { name } = this.#page.drafts;
        return name === null || this.#commit("name", name, { type: "setName", name });
      },
      commitAbout: () => void this.#commitAbout(),
      commitInterests: () => {
        const { interests } = this.#page.drafts;
        if (interests === null) return;
        const command: Command = { type: "setInterests", interests: interestsOf(interests) };
        void this.#commit("interests", interests, command);
      },
      acceptRules: async () => {
        this.#set({ rulesOpen: false });
        if (await this.#send({ type: "acceptRules" })) return;
        // Not `call`: the app's reply can be faster than its state.
        if (await this.#actions.commitName()) await this.#send({ type: "findPartner" });
      },
      closeRules: () => {
        if (this.#page.rulesOpen) this.#set({ rulesOpen: false });
      },
      call: async (command) => {
        if (command.type === "findPartner" && !this.#store.state?.settings.rulesAccepted) {
          this.#set({ rulesOpen: true, refusal: null });
          return;
        }
        if (await this.#actions.commitName()) await this.#send(command);
      },
      commitServerUrl: () => {
        const { serverUrl } = this.#page.drafts;
        if (serverUrl === null) return;
        const url = serverUrl.trim();
        void this.#commit("serverUrl", serverUrl, { type: "setServerUrl", url });
      },
      commitCaFile: () => {
        const { caFile } = this.#page.drafts;
        if (caFile === null) return;
        void this.#commit("caFile", caFile, { type: "setCaFile", path: caFile.trim() });
      },
      withServer: async (command) => {
        const state = this.#store.state;
        if (!state) return;
        if (state.settings.serverUrl === null && state.host.status !== "on") {
          this.#set({ setup: { then: command }, refusal: null });
          document.getElementById("setup-server-url")?.focus();
          return;
        }
        await this.#goOn(state, command);
      },
      welcome: async (command) => {
        this.#set({ setup: null });
        await this.#send({ type: "welcomed" });
        await this.#send(command);
      },
      finishSetup: async () => {
        const { state } = this.#store;
        const { drafts, setup } = this.#page;
        const url = drafts.serverUrl?.trim() ?? "";
        if (!state || !setup || drafts.serverUrl === null || url === "") return;
        const command: Command = { type: "setServerUrl", url };
        if (!(await this.#commit("serverUrl", drafts.serverUrl, command))) return;
        this.#set({ setup: null });
        // Not `withServer`: the app has the server, but its reply can be faster than its state.
        await this.#goOn(state, setup.then);
      },
      leaveSetup: () => {
        this.#set({ setup: null });
        this.#actions.draft({ serverUrl: null });
        document.getElementById("heading")?.focus();
      },
      dismissRefusal: () => {
        this.#set({ refusal: null });
      },
    };
  }

  /** Age and place are one command: the app takes both or neither. */
  async #commitAbout(): Promise<void> {
    const { state } = this.#store;
    const { age, location } = this.#page.drafts;
    if (!state || (age === null && location === null)) return;
    const taken = this.#about ?? state.settings;
    const about = {
      age: age === null ? taken.age : ageOf(age),
      location: location ?? taken.location,
    };
    if (await this.#send({ type: "setAbout", ...about })) return;
    this.#about = about;
    const { drafts } = this.#page;
    this.#actions.draft({
      age: drafts.age === age ? null : drafts.age,
      location: drafts.location === location ? null : drafts.location,
    });
  }

  /** A server is chosen: notes that the user has seen the ways to call, and makes the call. */
  async #goOn({ settings }: AppState, command: Command | null): Promise<void> {
    if (!settings.welcomed) await this.#send({ type: "welcomed" });
    if (command) await this.#actions.call(command);
  }

  /**
   * Sends what the user typed, and returns whether the app took it. The field keeps the text until
   * then, and when the app refuses.
   */
  async #commit(field: keyof Drafts, text: string, command: Command): Promise<boolean> {
    const error = await this.#send(command);
    if (!error && this.#page.drafts[field] === text) this.#actions.draft({ [field]: null });
    return !error;
  }

  #set(change: Partial<PageState>): void {
    this.#page = { ...this.#page, ...change };
    this.#render();
  }

  /**
   * Brings the document up to date before it returns. Removing a focused element makes browsers
   * send events in the middle of a rendering; what their handlers change is rendered right after.
   */
  #render(): void {
    this.#stale = true;
    if (this.#rendering) return;
    this.#rendering = true;
    try {
      while (this.#stale) {
        this.#stale = false;
        this.#renderOnce();
      }
    } finally {
      this.#rendering = false;
    }
  }

  #renderOnce(): void {
    const { state } = this.#store;
    this.#page.nowMs = Date.now();
    if (!state) {
      render(<LoadingPage reachable={this.#page.reachable} />, this.#root);
      return;
    }

    const before = this.#shown;
    const newScreen = before?.screen.kind !== state.screen.kind;
    this.#shown = state;
    if (newScreen) this.#leaveScreen(before);
    // So that the user can answer: everything outside an open dialog is inert.
    if (state.incoming && !before?.incoming) {
      this.#page.settingsOpen = false;
      this.#page.drafts.token = "";
    }
    this.#theme.set(state.settings.theme);

    render(<Page state={state} page={this.#page} act={this.#actions} />, this.#root);

    this.#showDialog();
    this.#shownStranger.follow(state);
    if (newScreen) this.#enterScreen(state, before !== undefined);
    // Benchmarks read how long the start took.
    if (!before) requestAnimationFrame(() => performance.mark("first-screen"));
    this.#streams.follow(state);
    const sentence = announcement(before, state);
    if (sentence !== undefined) announce(sentence);
    if (before && before.problems !== state.problems && state.problems.length > 0) {
      this.#idle.touch();
    }
    this.#scheduleClock(state);
  }

  /** Resets what belonged to the last screen. */
  #leaveScreen(before: AppState | undefined): void {
    this.#page.idle = false;
    if (!before) return;
    this.#page.refusal = null;
    // A half-typed address stays a draft, so nothing is lost when a match closes the dialog.
    this.#page.settingsOpen = false;
    this.#page.rulesOpen = false;
    this.#page.drafts.token = "";
    this.#page.setup = null;
  }

  /** `moved`: not at the start, where the focus stays where it is. */
  #enterScreen({ screen }: AppState, moved: boolean): void {
    if (moved) document.getElementById("heading")?.focus();
    const selfView = document.getElementById("self-view");
    if (selfView) this.#selfView.attach(selfView);
    if (screen.kind === "inCall") this.#idle.touch();
    document.title =
      screen.kind === "inCall" || screen.kind === "connecting"
        ? `${titleOf(screen.partner)} – ${words.appName}`
        : words.appName;
  }

  #showDialog(): void {
    const dialog = this.#root.querySelector<HTMLDialogElement>("dialog#settings");
    if (!dialog || dialog.open === this.#page.settingsOpen) return;
    if (this.#page.settingsOpen) {
      dialog.showModal();
      return;
    }
    dialog.close();
    const before = this.#focusBeforeSettings;
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  }

  /** Renders again when the clock on the screen, if there is one, shows its next second. */
  #scheduleClock({ screen }: AppState): void {
    clearTimeout(this.#clock);
    const since =
      screen.kind === "inCall"
        ? screen.connectedAtMs
        : "startedAtMs" in screen
          ? screen.startedAtMs
          : undefined;
    if (since === undefined) return;
    const wait = untilNextSecond(since, Date.now()) + CLOCK_SLACK_MS;
    this.#clock = setTimeout(() => {
      this.#render();
    }, wait);
  }
}

/** The pointer is over the controls, or the keyboard focus is on them. */
function controlsInUse(): boolean {
  if (document.querySelector("#controls:hover, .problems:hover")) return true;
  const { activeElement } = document;
  if (!activeElement?.closest("#controls, #self-view, .problems")) return false;
  return activeElement.matches(":focus-visible");
}

/** Has screen readers say `sentence`. */
function announce(sentence: string): void {
  // Behind a modal dialog nothing is spoken, so that has an element of its own.
  const announcer =
    document.querySelector("dialog[open] > [role=status]") ?? document.getElementById("announcer");
  if (announcer) announcer.textContent = sentence;
}

/** The interests that were typed, one before each comma. */
function interestsOf(text: string): string[] {
  return text
    .split(",")
    .map((interest) => interest.trim())
    .filter((interest) => interest !== "");
}

/** The age that was typed; `null` for none. What is no age becomes one that the app refuses. */
function ageOf(text: string): number | null {
  const digits = text.trim();
  if (digits === "") return null;
  return /^\d{1,3}$/u.test(digits) ? Math.min(Number(digits), 255) : 0;
}
