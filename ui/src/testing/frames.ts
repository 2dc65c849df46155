// Messages and sockets for the tests of the frame stream.

import { HEADER_BYTES } from "../frames/protocol";
import type { Socket } from "../frames/stream";

interface Message {
  width: number;
  height: number;
  sequence?: number;
  flags?: number;
  dueUs?: bigint;
  extra?: number;
}

/** A reply of the frame socket, with `extra` bytes more than it should have. */
export function message({
  width,
  height,
  sequence = 1,
  flags = 0,
  dueUs = 0n,
  extra = 0,
}: Message): ArrayBuffer {
  const bytes = new ArrayBuffer(HEADER_BYTES + Math.floor((width * height * 3) / 2) + extra);
  const view = new DataView(bytes);
  [width, height, sequence, flags].forEach((value, index) => {
    view.setUint32(index * 4, value, true);
  });
  view.setBigUint64(16, dueUs, true);
  return bytes;
}

/** A socket whose other end is the test. */
export class FakeSocket implements Socket {
  binaryType = "blob";
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: { stream: string; after: number; maxWidth: number; maxHeight: number }[] = [];
  closed = false;
  isOpen = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(text: string): void {
    if (!this.isOpen || this.closed) throw new Error("sent on a socket that is not open");
    this.sent.push(JSON.parse(text) as (typeof this.sent)[number]);
  }

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.isOpen = true;
    this.onopen?.();
  }

  reply(sequence: number): void {
    this.onmessage?.({ data: message({ width: 4, height: 2, sequence }) });
  }
}
