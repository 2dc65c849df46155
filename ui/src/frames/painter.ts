// Draws pictures on a canvas, and says on the canvas how many and which was the last.

import { i420ToRgba } from "./i420";
import type { Frame } from "./protocol";

/** How often the counts on the canvas are renewed. */
const COUNT_EVERY_MS = 250;

/** What cameras and decoders deliver; without it the web view would take its own guess. */
const COLOR_SPACE: VideoColorSpaceInit = { matrix: "smpte170m", fullRange: false };

/**
 * Up to so many pixels a picture is converted here: WebKitGTK builds a GStreamer pipeline for each VideoFrame, 3 ms for
 * even the smallest.
 */
const SMALL = 400 * 225;

/** Over how many pictures the time from due to drawn is told. */
const AGES = 128;

export class Painter {
  readonly #context: CanvasRenderingContext2D | null;
  #videoFrame = typeof VideoFrame !== "undefined";
  #image: ImageData | undefined;
  #drawn = 0;
  #sequence = 0;
  #countedAt = -Infinity;
  #ages: number[] = [];

  constructor(readonly canvas: HTMLCanvasElement) {
    this.#context = canvas.getContext("2d", { alpha: false });
    this.clear();
  }

  draw(frame: Frame): void {
    const { canvas } = this;
    if (canvas.width !== frame.width) canvas.width = frame.width;
    if (canvas.height !== frame.height) canvas.height = frame.height;
    canvas.classList.toggle("mirrored", frame.mirrored);
    if (frame.width * frame.height <= SMALL || !this.#drawVideoFrame(frame)) this.#drawImage(frame);
    this.#drawn += 1;
    this.#sequence = frame.sequence;
    const now = performance.now();
    // App and page are on one machine, so the time between them counts, too.
    this.#ages[this.#drawn % AGES] = Date.now() - frame.dueMs;
    if (now - this.#countedAt >= COUNT_EVERY_MS) this.#count(now);
  }

  /** Takes the last picture away: nothing of one stream may be seen in another. */
  clear(): void {
    const { canvas } = this;
    // Setting a size empties the canvas, also where there is no context.
    canvas.width = 2;
    canvas.height = 2;
    this.#drawn = 0;
    this.#sequence = 0;
    this.#ages = [];
    canvas.removeAttribute("data-live");
    this.#count(-Infinity);
  }

  #drawVideoFrame(frame: Frame): boolean {
    if (!this.#videoFrame) return false;
    const { width, height, pixels } = frame;
    try {
      const picture = new VideoFrame(pixels, {
        format: "I420",
        codedWidth: width,
        codedHeight: height,
        timestamp: 0,
        colorSpace: COLOR_SPACE,
      });
      this.#context?.drawImage(picture, 0, 0);
      picture.close();
      return true;
    } catch {
      // A web view that knows VideoFrame, but not this one: the other way from now on.
      this.#videoFrame = false;
      return false;
    }
  }

  #drawImage({ width, height, pixels }: Frame): void {
    if (this.#image?.width !== width || this.#image.height !== height) this.#image = new ImageData(width, height);
    i420ToRgba(pixels, width, height, this.#image.data);
    this.#context?.putImageData(this.#image, 0, 0);
  }

  #count(now: number): void {
    const { canvas } = this;
    this.#countedAt = now;
    canvas.setAttribute("data-frames", String(this.#drawn));
    canvas.setAttribute("data-sequence", String(this.#sequence));
    if (this.#drawn === 0) {
      canvas.removeAttribute("data-age-ms-p95");
      return;
    }
    canvas.setAttribute("data-live", "");
    const ages = this.#ages.filter((age) => !Number.isNaN(age)).sort((a, b) => a - b);
    const p95 = ages[Math.ceil(ages.length * 0.95) - 1];
    if (p95 !== undefined) canvas.setAttribute("data-age-ms-p95", p95.toFixed(1));
  }
}
