// One stream of frames from the app. One request gets one reply, so that the next frame is always
// the newest, and a slow page never builds up a queue.

import type { FrameSocket, StreamName } from "../generated/contract";
import { backoffMs } from "./backoff";
import { parse, request, type Frame } from "./protocol";

/** The parts of a WebSocket that a stream needs. */
export interface Socket {
  binaryType: string;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  send(text: string): void;
  close(): void;
}

/** Where frames go. */
export interface Sink {
  draw(frame: Frame): void;
  clear(): void;
}

export interface FrameStreamOptions {
  stream: StreamName;
  /** Where to connect. Its token opens one connection. */
  where: () => Promise<FrameSocket>;
  sink: Sink;
  /** The largest frame worth sending, in pixels of the screen (not of the layout). */
  size: () => { width: number; height: number };
  open?: (url: string, protocols: string[]) => Socket;
  random?: () => number;
  /** Calls `work` later. Returns a function that cancels it. */
  later?: (work: () => void, ms: number) => () => void;
}

/** What the app calls its frame socket, among subprotocols. */
const PROTOCOL = "tandem-frames";

function openSocket(url: string, protocols: string[]): Socket {
  return new WebSocket(url, protocols) as unknown as Socket;
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
  /** Numbers the connections, so that late events of an older one are ignored. */
  #connection = 0;
  #after = 0;
  #failures = 0;
  #running = false;
  #visible = true;
  #open = false;
  #awaitingReply = false;
  #cancelRetry: (() => void) | undefined;

  constructor(options: FrameStreamOptions) {
    this.#options = { open: openSocket, random: Math.random, later, ...options };
  }

  get running(): boolean {
    return this.#running;
  }

  /** Starts showing frames. Does nothing while it runs. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#failures = 0;
    this.#after = 0;
    if (this.#visible) this.#connect();
  }

  /** Stops showing frames, and removes the last one at once. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#disconnect();
    this.#options.sink.clear();
  }

  /** Starts over, because the stream now shows someone else: nothing of the old one may be seen. */
  restart(): void {
    this.stop();
    this.start();
  }

  /** Whether the page can be seen. It requests no frames while hidden. */
  setVisible(visible: boolean): void {
    if (this.#visible === visible) return;
    this.#visible = visible;
    if (!this.#running || !visible) return;
    if (!this.#socket) this.#connect();
    else if (this.#open && !this.#awaitingReply) this.#ask(this.#socket);
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
          // A page can set no other header. In the URL, the token would get into logs.
          socket = open(url, [PROTOCOL, `bearer.${token}`]);
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
    this.#awaitingReply = false;
    const frame = parse(data);
    if (!frame) {
      // Not our protocol: start over with a new connection.
      this.#failed(this.#connection);
      return;
    }
    this.#failures = 0;
    this.#after = frame.sequence;
    // Draw before asking, so that the reply is the newest frame.
    if (this.#visible) this.#options.sink.draw(frame);
    if (this.#visible) this.#ask(socket);
  }

  #ask(socket: Socket): void {
    if (!this.#visible) return;
    const { stream, size } = this.#options;
    const { width, height } = size();
    this.#awaitingReply = true;
    socket.send(
      request({ stream, after: this.#after, maxWidth: even(width), maxHeight: even(height) }),
    );
  }

  #failed(connection: number): void {
    if (connection !== this.#connection || !this.#running) return;
    this.#disconnect();
    this.#failures += 1;
    // The app may have restarted its count.
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
    this.#awaitingReply = false;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

/** Rounds to an even number from 2 to 4096: chroma planes have half the size. */
function even(pixels: number): number {
  const whole = Number.isFinite(pixels) ? Math.round(pixels) : 2;
  return Math.min(4096, Math.max(2, whole & ~1));
}
