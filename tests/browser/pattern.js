// Draws and reads the test pattern, whose frames carry their number and capture time.
//
// Unit u = width / 32. 16 x 4 blocks of u x u from (u, u), row by row, most significant bit first,
// white = 1, on a mid-grey border of u / 2: 16 bits frame counter, 32 bits Unix time in ms modulo
// 2^32, 16 bits CRC-16/CCITT-FALSE over those six bytes.

const COLUMNS = 16;
const ROWS = 4;
const BLACK = 16;
const GREY = 126;
const WHITE = 235;

/** CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, nothing reflected. */
export function crc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
}

/** The eight bytes of the code: counter, time, checksum. */
export function encode(counter, timeMs) {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, counter & 0xffff);
  view.setUint32(2, timeMs % 2 ** 32);
  view.setUint16(6, crc16(bytes.subarray(0, 6)));
  return bytes;
}

/** The counter and time in eight bytes, or null if the checksum is wrong. */
export function decode(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  if (crc16(bytes.subarray(0, 6)) !== view.getUint16(6)) return null;
  return { counter: view.getUint16(0), timeMs: view.getUint32(2) };
}

/** Milliseconds from `timeMs`, read from a frame, to `nowMs`. Right across the wrap at 2^32. */
export function age(timeMs, nowMs) {
  const difference = ((nowMs % 2 ** 32) - timeMs + 2 ** 32) % 2 ** 32;
  return difference > 2 ** 31 ? difference - 2 ** 32 : difference;
}

/** Draws frames: a texture that moves sideways, to give the encoder work, with the code on top. */
export class Painter {
  constructor(width, height) {
    Object.assign(this, { width, height, unit: Math.floor(width / 32) });
    this.data = new Uint8Array(width * height * 1.5);
    // Twice as wide as a frame, so that any shift of a row is one copy.
    this.texture = new Uint8Array(2 * width);
    for (let x = 0; x < this.texture.length; x++) {
      this.texture[x] = 126 + 60 * Math.sin((x * 2 * Math.PI * 4) / width) + 20 * Math.sin((x * 2 * Math.PI * 31) / width);
    }
    this.data.fill(128, width * height);
  }

  paint(counter, timeMs) {
    const { width, height, unit, data, texture } = this;
    for (let y = 0; y < height; y++) {
      const shift = (counter * 4 + (y >> 3) * 7) % width;
      data.set(texture.subarray(shift, shift + width), y * width);
    }
    const box = (x, y, w, h, value) => {
      for (let row = y; row < y + h; row++) data.fill(value, row * width + x, row * width + x + w);
    };
    const half = Math.floor(unit / 2);
    box(half, half, (COLUMNS + 1) * unit, (ROWS + 1) * unit, GREY);
    const bytes = encode(counter, timeMs);
    for (let bit = 0; bit < COLUMNS * ROWS; bit++) {
      const white = (bytes[bit >> 3] >> (7 - (bit & 7))) & 1;
      box(unit * (1 + (bit % COLUMNS)), unit * (1 + Math.floor(bit / COLUMNS)), unit, unit, white ? WHITE : BLACK);
    }
    return data;
  }
}

/** Reads the code of a `VideoFrame`, or null if it has none. Copies only that part of the frame. */
export async function read(frame) {
  const { width, height, x: left, y: top } = frame.visibleRect;
  const unit = Math.floor(width / 32);
  const even = (value) => value + (value & 1);
  if (unit < 2 || height < (ROWS + 2) * unit) return null;
  const rect = { x: left, y: top, width: even((COLUMNS + 2) * unit), height: even((ROWS + 2) * unit) };
  const pixels = new Uint8Array(frame.allocationSize({ rect }));
  const [luma] = await frame.copyTo(pixels, { rect });
  const bytes = new Uint8Array(8);
  for (let bit = 0; bit < COLUMNS * ROWS; bit++) {
    const x = Math.floor(unit * (1.5 + (bit % COLUMNS)));
    const y = Math.floor(unit * (1.5 + Math.floor(bit / COLUMNS)));
    let sum = 0;
    for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) sum += pixels[luma.offset + (y + dy) * luma.stride + x + dx];
    if (sum / 9 > GREY) bytes[bit >> 3] |= 0x80 >> (bit & 7);
  }
  return decode(bytes);
}

/** The same on a canvas, for a browser that cannot make tracks of frames. */
function canvasTrack(width, height, fps) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { alpha: false });
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const painter = new Painter(width, height);
  const start = performance.now();
  let counter = 0;
  const next = () => {
    const luma = painter.paint(counter, Date.now());
    for (let index = 0; index < pixels.length; index++) pixels[index] = 0xff000000 | (luma[index] * 0x010101);
    context.putImageData(image, 0, 0);
    counter += 1;
    setTimeout(next, Math.max(0, start + (counter * 1000) / fps - performance.now()));
  };
  next();
  return canvas.captureStream(fps).getVideoTracks()[0];
}

/** A video track of painted frames, each with the time at which it was made. */
export function track(width, height, fps) {
  if (!window.MediaStreamTrackGenerator) return canvasTrack(width, height, fps);
  const generator = new MediaStreamTrackGenerator({ kind: "video" });
  const writer = generator.writable.getWriter();
  const painter = new Painter(width, height);
  const start = performance.now();
  let counter = 0;
  const next = () => {
    const frame = new VideoFrame(painter.paint(counter, Date.now()), {
      format: "I420",
      codedWidth: width,
      codedHeight: height,
      timestamp: Math.round((performance.now() - start) * 1000),
    });
    writer.write(frame).catch(() => clearTimeout(timer));
    counter += 1;
    // Relative to the start, so that delays of the timer do not add up.
    timer = setTimeout(next, Math.max(0, start + (counter * 1000) / fps - performance.now()));
  };
  let timer = setTimeout(next, 0);
  return generator;
}
