// The self-view in a call: the user drags it, or moves it with the arrow keys; it never leaves the
// window.

/** From 0 (left, top) to 1 (right, bottom) of the space that the self-view can move in. */
export interface Position {
  x: number;
  y: number;
}

export const HOME: Position = { x: 1, y: 1 };

const STEP_PX = 24;
const LARGE_STEP_PX = 120;

const clamp = (value: number) => Math.min(1, Math.max(0, Number.isFinite(value) ? value : 0));

/**
 * Where `key` moves the self-view; `undefined` for other keys. `large` takes the large step;
 * `spacePx` is the whole distance that it can move.
 */
export function movedByKey(
  position: Position,
  key: string,
  large: boolean,
  spacePx: Position,
): Position | undefined {
  if (key === "Home") return HOME;
  const directions: Record<string, [number, number]> = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  const direction = directions[key];
  if (!direction) return undefined;
  const [x, y] = direction;
  const step = large ? LARGE_STEP_PX : STEP_PX;
  return movedBy(position, { x: x * step, y: y * step }, spacePx);
}

/** `position` moved by `pixels`, within the space. */
export function movedBy(position: Position, pixels: Position, spacePx: Position): Position {
  return {
    x: clamp(position.x + pixels.x / Math.max(1, spacePx.x)),
    y: clamp(position.y + pixels.y / Math.max(1, spacePx.y)),
  };
}

/** Moves the self-view and keeps its position from call to call. */
export class SelfView {
  #position = HOME;
  #drag: { id: number; x: number; y: number; from: Position } | undefined;

  /** Makes the self-view of a new call's screen movable. */
  attach(element: HTMLElement): void {
    // A drag that the end of the last call cut off.
    this.#drag = undefined;

    element.addEventListener("keydown", (event) => {
      const next = movedByKey(this.#position, event.key, event.shiftKey, space(element));
      if (!next) return;
      event.preventDefault();
      this.#place(element, next);
    });

    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const { pointerId: id, clientX: x, clientY: y } = event;
      this.#drag = { id, x, y, from: this.#position };
      element.setPointerCapture(event.pointerId);
      element.classList.add("dragged");
    });

    element.addEventListener("pointermove", (event) => {
      const drag = this.#drag;
      if (drag?.id !== event.pointerId) return;
      const pixels = { x: event.clientX - drag.x, y: event.clientY - drag.y };
      this.#place(element, movedBy(drag.from, pixels, space(element)));
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
function space(element: HTMLElement): Position {
  const style = getComputedStyle(element);
  const remPx = Number.parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  const pixels = (name: string) => (Number.parseFloat(style.getPropertyValue(name)) || 0) * remPx;
  const margin = pixels("--self-view-margin");
  const bottom = pixels("--self-view-bottom");
  const parent = element.parentElement;
  return {
    x: (parent?.clientWidth ?? 0) - element.offsetWidth - 2 * margin,
    y: (parent?.clientHeight ?? 0) - element.offsetHeight - margin - bottom,
  };
}
