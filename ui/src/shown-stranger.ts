// Tells the app when the user can see who was found: until then, a stranger gets neither video nor
// sound.

import type { AppState } from "./generated/contract";

/** The screens that say who it is. */
const SAYS_WHO = new Set<AppState["screen"]["kind"]>(["connecting", "inCall"]);

export class ShownStranger {
  readonly #tell: (id: number) => void;
  /** Who is on the screen and not told yet. */
  #waiting: number | null = null;
  #told: number | null = null;

  constructor(tell: (id: number) => void) {
    this.#tell = tell;
    document.addEventListener("visibilitychange", () => {
      this.#afterPaint();
    });
  }

  /** The document shows this state now. */
  follow({ screen, stranger }: Pick<AppState, "screen" | "stranger">): void {
    const isShown = stranger !== null && !stranger.shown && SAYS_WHO.has(screen.kind);
    this.#waiting = isShown && stranger.id !== this.#told ? stranger.id : null;
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
        this.#tell(id);
      });
    });
  }
}
