// The frame socket's messages: a request as JSON, a picture as bytes.

import type { FrameRequest } from "../generated/contract";

/** Width, height, sequence and flags (each u32), when it was due (u64); little-endian. */
export const HEADER_BYTES = 24;

/** Larger pictures than these cannot come from an app that keeps to the request. */
const MAX_SIDE = 8192;

const MIRRORED = 1;

export interface Frame {
  /** Both even. */
  width: number;
  height: number;
  /** Grows with each picture of a stream. */
  sequence: number;
  /** The picture is the own one: to be shown as in a mirror. */
  mirrored: boolean;
  /** When it was due to be shown: Unix time in milliseconds. */
  dueMs: number;
  /** Tightly packed I420 in BT.601, limited range: the planes Y, U and V. */
  pixels: Uint8Array<ArrayBuffer>;
}

export function request(it: FrameRequest): string {
  return JSON.stringify(it);
}

/** Reads a reply; `null` if it is not a picture. */
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
