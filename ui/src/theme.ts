// Applies light or dark to the document, as the user or the system chose.

import type { Theme } from "./generated/contract";

const DARK = "(prefers-color-scheme: dark)";

export class ThemeSwitch {
  #theme: Theme = "system";
  readonly #system = window.matchMedia(DARK);

  constructor() {
    this.#system.addEventListener("change", () => {
      this.#apply();
    });
    this.#apply();
  }

  set(theme: Theme): void {
    if (this.#theme === theme) return;
    this.#theme = theme;
    this.#apply();
  }

  #apply(): void {
    const system = this.#system.matches ? "dark" : "light";
    const theme = this.#theme === "system" ? system : this.#theme;
    document.documentElement.setAttribute("data-theme", theme);
  }
}
