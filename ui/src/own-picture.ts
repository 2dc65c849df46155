// Where the own picture lies in a call: dragged with the pointer or moved with the arrow keys, never outside the window.

/** From 0 (left, top) to 1 (right, bottom) of the room that there is. */
export interface Position {
  x: number;
  y: number;
}

export const HOME: Position = { x: 1, y: 1 };

const STEP_PX = 24;
const LEAP_PX = 120;

const clamp = (value: number) => Math.min(1, Math.max(0, Number.isFinite(value) ? value : 0));

/** Where a key moves it; nothing if the key is another. `roomPx` is how far it can go at all. */
export function moved(position: Position, key: string, leap: boolean, roomPx: Position): Position | undefined {
  if (key === "Home") return HOME;
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
  if (x === 0 && y === 0) return undefined;
  const step = leap ? LEAP_PX : STEP_PX;
  return by(position, { x: (x as number) * step, y: (y as number) * step }, roomPx);
}

/** Moved by so many pixels, as far as there is room. */
export function by(position: Position, pixels: Position, roomPx: Position): Position {
  return {
    x: clamp(position.x + pixels.x / Math.max(1, roomPx.x)),
    y: clamp(position.y + pixels.y / Math.max(1, roomPx.y)),
  };
}

/** Keeps the own picture's place and moves it as the user wants. */
export class OwnPicture {
  #position = HOME;
  #drag: { id: number; x: number; y: number; from: Position } | undefined;

  /** Takes hold of the element of a new call's screen. */
  attach(element: HTMLElement): void {
    element.addEventListener("keydown", (event) => {
      const next = moved(this.#position, event.key, event.shiftKey, room(element));
      if (!next) return;
      event.preventDefault();
      this.#place(element, next);
    });
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#drag = { id: event.pointerId, x: event.clientX, y: event.clientY, from: this.#position };
      element.setPointerCapture(event.pointerId);
      element.classList.add("dragged");
    });
    element.addEventListener("pointermove", (event) => {
      const drag = this.#drag;
      if (drag?.id !== event.pointerId) return;
      const pixels = { x: event.clientX - drag.x, y: event.clientY - drag.y };
      this.#place(element, by(drag.from, pixels, room(element)));
    });
    const drop = () => {
      this.#drag = undefined;
      element.classList.remove("dragged");
    };
    element.addEventListener("pointerup", drop);
    element.addEventListener("pointercancel", drop);
    element.addEventListener("lostpointercapture", drop);
    this.#place(element, this.#position);
  }

  #place(element: HTMLElement, position: Position): void {
    this.#position = position;
    element.style.setProperty("--x", String(position.x));
    element.style.setProperty("--y", String(position.y));
  }
}

/** How far the element can move within its parent, as the style sheet lays it out. */
function room(element: HTMLElement): Position {
  const margin = Number.parseFloat(getComputedStyle(element).getPropertyValue("--own-margin")) || 0;
  const parent = element.parentElement;
  return {
    x: (parent?.clientWidth ?? 0) - element.offsetWidth - 2 * margin,
    y: (parent?.clientHeight ?? 0) - element.offsetHeight - 2 * margin,
  };
}
