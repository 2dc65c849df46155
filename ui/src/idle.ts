// Whether anybody is doing anything. In a call the controls leave when nobody is, but never from under the keyboard.

const AFTER_MS = 3000;

export class Idle {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle = false;

  constructor(
    /** Told when it changes. */
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

  /** Somebody does something, or something needs to be seen. */
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
