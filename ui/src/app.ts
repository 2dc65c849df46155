// The page at work: state in, document out; what the user does goes to the app as commands.

import { announcement } from "./announce";
import type { Backend, Send } from "./backend";
import { patch } from "./dom/patch";
import { Streams } from "./frames/streams";
import type { AppState } from "./generated/contract";
import { Idle } from "./idle";
import { OwnPicture } from "./own-picture";
import { initialPage, refusalOf, type Actions, type PageState } from "./page-state";
import { nameOf } from "./parts/avatar";
import { showLevel } from "./parts/devices";
import { view, viewWithoutState } from "./screens";
import { shortcut } from "./shortcuts";
import { Store } from "./store";
import { ThemeSwitch } from "./theme";
import { untilNextSecond } from "./time";
import { words } from "./locale";

export class App {
  readonly #root: Element;
  readonly #backend: Backend;
  readonly #store: Store;
  readonly #streams: Streams;
  readonly #theme = new ThemeSwitch();
  readonly #own = new OwnPicture();
  readonly #idle: Idle;
  readonly #actions: Actions;
  #page: PageState = initialPage(Date.now());
  #shown: AppState | undefined;
  #clock: ReturnType<typeof setTimeout> | undefined;
  #focusBeforeSettings: Element | null = null;

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
    this.#store.subscribe(() => {
      this.#render();
    });
    window.addEventListener("keydown", (event) => {
      const { state } = this.#store;
      if (state && !this.#page.settingsOpen && shortcut(event, state, this.#send)) event.preventDefault();
    });
  }

  /** Begins to follow the app. The events come first, so that no change is missed between snapshot and listening. */
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

  readonly #send: Send = async (name, args) => {
    const error = await this.#backend.send(name, args);
    const refusal = error ? refusalOf(name, error.code, error.detail) : null;
    if (refusal ?? this.#page.refusal) this.#set({ refusal });
    // A menu or a switch shows again what holds.
    else if (error) this.#render();
    return error;
  };

  #makeActions(): Actions {
    return {
      send: this.#send,
      openSettings: () => {
        this.#focusBeforeSettings = document.activeElement;
        this.#set({ settingsOpen: true, refusal: null });
      },
      closeSettings: () => {
        if (!this.#page.settingsOpen) return;
        this.#actions.commitRelayUrl();
        this.#set({ settingsOpen: false });
      },
      draft: (drafts) => {
        this.#page = { ...this.#page, drafts: { ...this.#page.drafts, ...drafts } };
        this.#render();
      },
      commitName: () => {
        const { name } = this.#page.drafts;
        if (name !== null) void this.#commit("name", name, this.#send("set_name", { name }));
      },
      commitRelayUrl: () => {
        const { relayUrl } = this.#page.drafts;
        if (relayUrl === null) return;
        const url = relayUrl.trim();
        void this.#commit("relayUrl", relayUrl, this.#send("set_relay_url", { url }));
      },
      dismissRefusal: () => {
        this.#set({ refusal: null });
      },
    };
  }

  /** What was typed is the app's when it took it; until then, and when it refused, it stays as typed. */
  async #commit(field: "name" | "relayUrl", text: string, sent: ReturnType<Send>): Promise<void> {
    const error = await sent;
    if (!error && this.#page.drafts[field] === text) this.#actions.draft({ [field]: null });
  }

  #set(change: Partial<PageState>): void {
    this.#page = { ...this.#page, ...change };
    this.#render();
  }

  #render(): void {
    const { state } = this.#store;
    this.#page.nowMs = Date.now();
    if (!state) {
      patch(this.#root, viewWithoutState(this.#page));
      return;
    }
    const before = this.#shown;
    const newScreen = before?.screen.kind !== state.screen.kind;
    this.#shown = state;
    if (newScreen) this.#enter(before);
    this.#theme.set(state.settings.theme);
    patch(this.#root, view({ state, page: this.#page, act: this.#actions }));
    this.#showDialog();
    if (newScreen) this.#entered(state, before !== undefined);
    // For whoever measures how long a start takes.
    if (!before) requestAnimationFrame(() => performance.mark("first-screen"));
    this.#streams.follow(state);
    const sentence = announcement(before, state);
    if (sentence !== undefined) announce(sentence);
    if (before && before.problems !== state.problems && state.problems.length > 0) this.#idle.touch();
    this.#tick(state);
  }

  /** What belonged to the last screen is over. */
  #enter(before: AppState | undefined): void {
    this.#page = { ...this.#page, idle: false, refusal: before ? null : this.#page.refusal };
    if (this.#page.settingsOpen && before) this.#page.settingsOpen = false;
  }

  /** The new screen's heading takes the focus, except at the start, when nobody has gone anywhere. */
  #entered({ screen }: AppState, moved: boolean): void {
    if (moved) document.getElementById("heading")?.focus();
    const own = document.getElementById("own");
    if (own) this.#own.attach(own);
    if (screen.kind === "inCall") this.#idle.touch();
    document.title =
      screen.kind === "inCall" || screen.kind === "connecting"
        ? `${nameOf(screen.partner)} – ${words.appName}`
        : words.appName;
  }

  #showDialog(): void {
    const dialog = document.querySelector<HTMLDialogElement>("dialog#settings");
    if (!dialog || dialog.open === this.#page.settingsOpen) return;
    if (this.#page.settingsOpen) {
      dialog.showModal();
      return;
    }
    dialog.close();
    const before = this.#focusBeforeSettings;
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  }

  /** The next second of whatever clock is to be seen. */
  #tick({ screen }: AppState): void {
    clearTimeout(this.#clock);
    const since =
      screen.kind === "inCall" ? screen.connectedAtMs : "startedAtMs" in screen ? screen.startedAtMs : undefined;
    if (since === undefined) return;
    this.#clock = setTimeout(
      () => {
        this.#render();
      },
      untilNextSecond(since, Date.now()) + 5,
    );
  }
}

/** The pointer rests on them, or the keyboard is there. */
function controlsInUse(): boolean {
  if (document.querySelector("#controls:hover, .problems:hover")) return true;
  const focused = document.activeElement?.closest("#controls, #own, .problems");
  return focused !== null && focused !== undefined && document.activeElement?.matches(":focus-visible") === true;
}

function announce(sentence: string): void {
  const announcer = document.getElementById("announcer");
  if (announcer) announcer.textContent = sentence;
}
