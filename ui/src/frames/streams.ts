// Which streams run for a state, and on which canvas.

import type { Backend } from "../backend";
import type { AppState, StreamName } from "../generated/contract";
import { togglesOf } from "../toggles";
import { Painter } from "./painter";
import { FrameStream } from "./stream";

/**
 * What each stream shows now; `null` for nothing. Two states with the same text show the same
 * source. Another text (another call, another partner) is another source, and nothing of the old
 * one may show.
 */
export function sources(state: AppState): Record<StreamName, string | null> {
  const { screen, preview } = state;
  switch (screen.kind) {
    case "lobby":
      return { local: preview.status === "on" ? "preview" : null, remote: null };
    case "waiting":
      return {
        local: togglesOf(state).cameraOn && screen.sendsVideo ? "waiting" : null,
        remote: null,
      };
    case "inCall": {
      const call = `call ${screen.connectedAtMs}`;
      return {
        local: screen.cameraOn && screen.sendsVideo ? call : null,
        remote: screen.partnerCameraOff ? null : `${call} ${screen.partner.name ?? ""}`,
      };
    }
    default:
      return { local: null, remote: null };
  }
}

/**
 * The local video fills its canvas and is cropped where it has another shape. So the longer side
 * counts for both.
 */
function covering({ width, height }: Size): Size {
  const side = Math.max(width, height);
  return { width: side, height: side };
}

interface Size {
  width: number;
  height: number;
}

/** One of the two streams, drawn on the canvas that the current screen has for it. */
class Channel {
  #painter: Painter | undefined;
  #source: string | null = null;
  readonly #stream: FrameStream;

  constructor(stream: StreamName, backend: Backend) {
    this.#stream = new FrameStream({
      stream,
      where: () => backend.frameSocket(),
      sink: {
        draw: (frame) => this.#painter?.draw(frame),
        clear: () => this.#painter?.clear(),
      },
      size: () => (stream === "local" ? covering(this.#size()) : this.#size()),
    });
  }

  show(canvas: HTMLCanvasElement | null, source: string | null): void {
    const sameCanvas = this.#painter?.canvas === (canvas ?? undefined);
    const sameSource = this.#source === source;
    if (sameCanvas && sameSource) return;
    this.#source = source;
    this.#stream.stop();
    if (!sameCanvas) this.#painter = canvas ? new Painter(canvas) : undefined;
    if (canvas && source !== null) this.#stream.start();
  }

  setVisible(visible: boolean): void {
    this.#stream.setVisible(visible);
  }

  #size(): Size {
    const canvas = this.#painter?.canvas;
    const scale = window.devicePixelRatio || 1;
    return {
      width: (canvas?.clientWidth ?? 0) * scale,
      height: (canvas?.clientHeight ?? 0) * scale,
    };
  }
}

export class Streams {
  readonly #local: Channel;
  readonly #remote: Channel;

  constructor(backend: Backend) {
    this.#local = new Channel("local", backend);
    this.#remote = new Channel("remote", backend);
    const updateVisibility = () => {
      for (const channel of [this.#local, this.#remote])
        channel.setVisible(document.visibilityState === "visible");
    };
    document.addEventListener("visibilitychange", updateVisibility);
    updateVisibility();
  }

  /** Call it once the screen of `state` is in the document. */
  follow(state: AppState): void {
    const { local, remote } = sources(state);
    const canvas = (id: string) => document.querySelector<HTMLCanvasElement>(`canvas#${id}`);
    this.#local.show(canvas("local"), local);
    this.#remote.show(canvas("remote"), remote);
  }
}
