// Whether the user is doing anything. A call hides its controls when not, but never while they are
// in use.

const AFTER_MS = 3000;

export class Idle {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle = false;

  constructor(
    /** Called when it changes. */
    readonly onChange: (idle: boolean) => void,
    /** Whether the controls are in use right now, and so have to stay. */
    readonly inUse: () => boolean,
  ) {
    const active = () => {
      this.touch();
    };
    for (const name of ["pointermove", "pointerdown", "keydown", "focusin", "wheel"]) {
      window.addEventListener(name, active, { passive: true, capture: true });
    }
  }

  /** The user did something, or something has to be seen: starts over. */
  touch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#expire();
    }, AFTER_MS);
    this.#set(false);
  }

  #expire(): void {
    if (this.inUse()) this.touch();
    else this.#set(true);
  }

  #set(idle: boolean): void {
    if (this.#idle === idle) return;
    this.#idle = idle;
    this.onChange(idle);
  }
}
