// The frame socket's messages: a request as JSON, a frame as bytes.

import type { FrameRequest } from "../generated/contract";

/**
 * The header: width, height, sequence and flags (u32 each), then when the frame was due (u64, Unix
 * time in µs); all little-endian.
 */
export const HEADER_BYTES = 24;

/** Pixels. An app that keeps to the request sends nothing larger. */
const MAX_SIDE = 8192;

const MIRRORED = 1;

export interface Frame {
  /** Both even. */
  width: number;
  height: number;
  /** Grows with each frame of a stream. */
  sequence: number;
  /** The frame is of the local camera, which is shown as in a mirror. */
  mirrored: boolean;
  /** When it was due on the screen: Unix time in milliseconds. */
  dueMs: number;
  /** Tightly packed I420 in BT.601, limited range: the planes Y, U and V. */
  pixels: Uint8Array<ArrayBuffer>;
}

export function request(it: FrameRequest): string {
  return JSON.stringify(it);
}

/** Reads a reply; `null` if it is not exactly one frame. */
export function parse(message: unknown): Frame | null {
  if (!(message instanceof ArrayBuffer) || message.byteLength < HEADER_BYTES) return null;
  const header = new DataView(message, 0, HEADER_BYTES);
  const width = header.getUint32(0, true);
  const height = header.getUint32(4, true);
  const sides = [width, height];
  if (sides.some((side) => side === 0 || side % 2 === 1 || side > MAX_SIDE)) return null;
  if (message.byteLength !== HEADER_BYTES + (width * height * 3) / 2) return null;
  return {
    width,
    height,
    sequence: header.getUint32(8, true),
    mirrored: (header.getUint32(12, true) & MIRRORED) !== 0,
    dueMs: Number(header.getBigUint64(16, true)) / 1000,
    pixels: new Uint8Array(message, HEADER_BYTES),
  };
}
