// Tells the app when the user can see who was found: until then, a stranger gets neither video nor
// sound.

import type { AppState } from "./generated/contract";

/** The screens that say who it is. */
const SAYS_WHO = new Set<AppState["screen"]["kind"]>(["connecting", "inCall"]);

/** How long after a refusal to tell the app again: it knows of a minimized window before the page does. */
const RETRY_MS = 500;

export class ShownStranger {
  readonly #tell: (id: number) => Promise<boolean>;
  /** Who is on the screen and may not be sent anything yet. */
  #onScreen: number | null = null;
  /** The same, if the app has not been told. */
  #waiting: number | null = null;
  /** Who the app is being told of, or has taken. */
  #told: number | null = null;

  /** `tell` resolves to whether the app takes it. */
  constructor(tell: (id: number) => Promise<boolean>) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => {
      this.#afterPaint();
    });
  }

  /** The document shows this state now. */
  follow({ screen, stranger }: Pick<AppState, "screen" | "stranger">): void {
    const isShown = stranger !== null && !stranger.shown && SAYS_WHO.has(screen.kind);
    this.#onScreen = isShown ? stranger.id : null;
    this.#waiting = this.#onScreen === this.#told ? null : this.#onScreen;
    this.#afterPaint();
  }

  /** Tells the app after the next frame is on the screen. A hidden page paints none. */
  #afterPaint(): void {
    const id = this.#waiting;
    if (id === null || document.visibilityState !== "visible") return;
    requestAnimationFrame(() => {
      requestAnimationFrame(() => {
        if (this.#waiting !== id || document.visibilityState !== "visible") return;
        this.#waiting = null;
        this.#told = id;
        void this.#tell(id).then((taken) => {
          if (!taken) this.#refused(id);
        });
      });
    });
  }

  /** Otherwise, the user would never be seen or heard. */
  #refused(id: number): void {
    if (this.#told !== id) return;
    this.#told = null;
    setTimeout(() => {
      if (this.#onScreen !== id || this.#told === id) return;
      this.#waiting = id;
      this.#afterPaint();
    }, RETRY_MS);
  }
}
