// Draws frames on a canvas. Tests and benchmarks read the counts from the canvas's attributes:
// frames drawn, the last sequence number, and how late frames are.

import { i420ToRgba } from "./i420";
import type { Frame } from "./protocol";

/** How often the attributes are updated: each write costs a style recalculation. */
const REPORT_INTERVAL_MS = 250;

/** What cameras and decoders deliver. Without it the web view would guess. */
const COLOR_SPACE: VideoColorSpaceInit = { matrix: "smpte170m", fullRange: false };

/**
 * Frames of up to this many pixels are converted here: WebKitGTK builds a GStreamer pipeline for
 * each VideoFrame, which takes 3 ms for even the smallest.
 */
const SMALL_PIXELS = 400 * 225;

/** The 95th percentile of the age is taken over this many frames. */
const AGE_WINDOW = 128;

export class Painter {
  readonly #context: CanvasRenderingContext2D | null;
  #hasVideoFrame = typeof VideoFrame !== "undefined";
  #image: ImageData | undefined;
  #drawn = 0;
  #sequence = 0;
  #reportedAt = -Infinity;
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
    if (frame.width * frame.height <= SMALL_PIXELS || !this.#drawVideoFrame(frame))
      this.#drawImage(frame);
    this.#drawn += 1;
    this.#sequence = frame.sequence;
    const now = performance.now();
    // App and page share one clock, so this includes the way from the app to the page.
    this.#ages[this.#drawn % AGE_WINDOW] = Date.now() - frame.dueMs;
    if (now - this.#reportedAt >= REPORT_INTERVAL_MS) this.#report(now);
  }

  /** Removes the last frame: nothing of one stream may show in another. */
  clear(): void {
    const { canvas } = this;
    // Setting a size empties the canvas, even without a context.
    canvas.width = 2;
    canvas.height = 2;
    this.#drawn = 0;
    this.#sequence = 0;
    this.#ages = [];
    canvas.removeAttribute("data-live");
    this.#report(-Infinity);
  }

  /** Draws by VideoFrame, if this web view can. */
  #drawVideoFrame(frame: Frame): boolean {
    if (!this.#hasVideoFrame) return false;
    const { width, height, pixels } = frame;
    try {
      const videoFrame = new VideoFrame(pixels, {
        format: "I420",
        codedWidth: width,
        codedHeight: height,
        timestamp: 0,
        colorSpace: COLOR_SPACE,
      });
      this.#context?.drawImage(videoFrame, 0, 0);
      videoFrame.close();
      return true;
    } catch {
      // This web view has VideoFrame, but without I420: convert here from now on.
      this.#hasVideoFrame = false;
      return false;
    }
  }

  #drawImage({ width, height, pixels }: Frame): void {
    if (this.#image?.width !== width || this.#image.height !== height)
      this.#image = new ImageData(width, height);
    i420ToRgba(pixels, width, height, this.#image.data);
    this.#context?.putImageData(this.#image, 0, 0);
  }

  #report(now: number): void {
    const { canvas } = this;
    this.#reportedAt = now;
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
