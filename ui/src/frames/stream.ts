// One stream of pictures from the app: one request, one reply, so that the newest picture is always the next one.

import type { FrameSocket, StreamName } from "../generated/contract";
import { backoffMs } from "./backoff";
import { parse, request, type Frame } from "./protocol";

/** As much of a WebSocket as a stream needs. */
export interface Socket {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

export interface Sink {
  draw(frame: Frame): void;
  clear(): void;
}

export interface FrameStreamOptions {
  stream: StreamName;
  /** Where to connect; its token opens one connection. */
  where: () => Promise<FrameSocket>;
  sink: Sink;
  /** The most pixels that can be seen: those of the screen, not of the layout. */
  size: () => { width: number; height: number };
  open?: (url: string) => Socket;
  random?: () => number;
  /** Calls back later; gives the way to stop that. */
  later?: (work: () => void, ms: number) => () => void;
}

function openSocket(url: string): Socket {
  return new WebSocket(url) as unknown as Socket;
}

function later(work: () => void, ms: number): () => void {
  const timer = setTimeout(work, ms);
  return () => {
    clearTimeout(timer);
  };
}

export class FrameStream {
  readonly #options: Required<FrameStreamOptions>;
  #socket: Socket | undefined;
  /** Each connection's number; what an older one still brings is ignored. */
  #connection = 0;
  #after = 0;
  #failures = 0;
  #running = false;
  #visible = true;
  #open = false;
  #waiting = false;
  #cancelRetry: (() => void) | undefined;

  constructor(options: FrameStreamOptions) {
    this.#options = { open: openSocket, random: Math.random, later, ...options };
  }

  get running(): boolean {
    return this.#running;
  }

  /** Begins to show pictures; does nothing when it does already. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#failures = 0;
    this.#after = 0;
    if (this.#visible) this.#connect();
  }

  /** Shows no more pictures and takes the last one away at once. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#disconnect();
    this.#options.sink.clear();
  }

  /** The stream is another one now (another partner): nothing of the old may be seen. */
  restart(): void {
    this.stop();
    this.start();
  }

  /** Whether anybody can see the page. Unseen pictures are not asked for. */
  setVisible(visible: boolean): void {
    if (this.#visible === visible) return;
    this.#visible = visible;
    if (!this.#running || !visible) return;
    if (!this.#socket) this.#connect();
    else if (this.#open && !this.#waiting) this.#ask(this.#socket);
  }

  #connect(): void {
    this.#disconnect();
    const connection = this.#connection;
    const { where, open } = this.#options;
    where().then(
      ({ url, token }) => {
        if (connection !== this.#connection || !this.#running) return;
        let socket: Socket;
        try {
          socket = open(`${url}?token=${encodeURIComponent(token)}`);
        } catch {
          this.#failed(connection);
          return;
        }
        this.#listen(socket, connection);
      },
      () => {
        this.#failed(connection);
      },
    );
  }

  #listen(socket: Socket, connection: number): void {
    const current = () => connection === this.#connection;
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      if (!current()) return;
      this.#open = true;
      this.#ask(socket);
    };
    socket.onmessage = ({ data }) => {
      if (current()) this.#take(socket, data);
    };
    socket.onclose = () => {
      this.#failed(connection);
    };
  }

  #take(socket: Socket, data: unknown): void {
    this.#waiting = false;
    const frame = parse(data);
    if (!frame) {
      // Not our protocol: a connection that goes on like this is not worth keeping.
      this.#failed(this.#connection);
      return;
    }
    this.#failures = 0;
    this.#after = frame.sequence;
    // Drawn first: the picture that is asked for afterwards is then the newest.
    if (this.#visible) this.#options.sink.draw(frame);
    if (this.#visible) this.#ask(socket);
  }

  #ask(socket: Socket): void {
    if (!this.#visible) return;
    const { stream, size } = this.#options;
    const { width, height } = size();
    this.#waiting = true;
    socket.send(request({ stream, after: this.#after, maxWidth: even(width), maxHeight: even(height) }));
  }

  #failed(connection: number): void {
    if (connection !== this.#connection || !this.#running) return;
    this.#disconnect();
    this.#failures += 1;
    // The app may have begun to count anew.
    this.#after = 0;
    const wait = backoffMs(this.#failures, this.#options.random());
    this.#cancelRetry = this.#options.later(() => {
      this.#cancelRetry = undefined;
      if (this.#running && this.#visible) this.#connect();
    }, wait);
  }

  #disconnect(): void {
    this.#connection += 1;
    this.#open = false;
    this.#waiting = false;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

/** At least 2, at most 4096, without the last bit: chroma is half as large. */
function even(pixels: number): number {
  const whole = Number.isFinite(pixels) ? Math.round(pixels) : 2;
  return Math.min(4096, Math.max(2, whole & ~1));
}
