// Frames for the frame socket: a person in front of a wall, in I420, BT.601 limited range.

/** Bytes in a reply before the planes. */
export const HEADER = 24;

const SCENES = {
  remote: {
    wall: [214, 190, 160],
    dusk: [120, 96, 92],
    coat: [44, 92, 96],
    skin: [188, 140, 112],
    hair: [52, 38, 34],
    at: 0.5,
  },
  local: {
    wall: [150, 176, 170],
    dusk: [70, 96, 98],
    coat: [196, 98, 72],
    skin: [220, 178, 152],
    hair: [116, 78, 48],
    at: 0.5,
  },
};

const mix = (a, b, t) => a.map((value, index) => value + (b[index] - value) * t);
const clamp = (value) => Math.min(1, Math.max(0, value));

/** The color at a point; `x` counts from the middle, both in heights of the frame. */
function color(scene, x, y, soft) {
  const cover = (distance) => clamp(0.5 - distance / soft);
  let rgb = mix(scene.wall, scene.dusk, clamp(0.15 + y * 0.6 + x * 0.35));
  // Light from a window on the wall.
  const light = cover(
    Math.max(Math.abs(x + 0.55 + (y - 0.25) * 0.25) - 0.16, Math.abs(y - 0.27) - 0.2),
  );
  rgb = mix(rgb, [255, 244, 222], light * 0.35);
  const ellipse = (cx, cy, rx, ry) =>
    (Math.hypot((x - cx) / rx, (y - cy) / ry) - 1) * Math.min(rx, ry);
  rgb = mix(rgb, scene.hair, cover(ellipse(0, 0.4, 0.185, 0.235)));
  rgb = mix(rgb, scene.coat, cover(ellipse(0, 1.12, 0.48, 0.42)));
  rgb = mix(
    rgb,
    mix(scene.skin, [90, 50, 40], 0.22),
    cover(Math.max(Math.abs(x) - 0.066, Math.abs(y - 0.66) - 0.12)),
  );
  rgb = mix(rgb, scene.skin, cover(ellipse(0, 0.44, 0.142, 0.19)));
  rgb = mix(
    rgb,
    scene.hair,
    cover(Math.max(ellipse(0.02, 0.31, 0.165, 0.115), y - 0.345 - x * 0.12)),
  );
  for (const side of [-1, 1]) {
    rgb = mix(rgb, [46, 32, 30], cover(ellipse(side * 0.055, 0.44, 0.013, 0.012)));
    rgb = mix(rgb, scene.hair, cover(ellipse(side * 0.055, 0.405, 0.03, 0.007)));
  }
  const smile = Math.abs(Math.hypot(x, y - 0.475) - 0.068) - 0.006;
  rgb = mix(rgb, [150, 66, 60], cover(Math.max(smile, 0.512 - y)));
  return rgb;
}

/** A reply of the frame socket: header and frame. */
export function reply(stream, sequence, width, height) {
  const message = Buffer.from(frame(stream, width, height));
  message.writeUInt32LE(sequence >>> 0, 8);
  message.writeBigUInt64LE(BigInt(Date.now()) * 1000n, 16);
  return message;
}

const drawn = new Map();

function frame(stream, width, height) {
  const key = `${stream} ${width} ${height}`;
  if (!drawn.has(key)) drawn.set(key, draw(stream, width, height));
  return drawn.get(key);
}

function draw(stream, width, height) {
  const scene = SCENES[stream];
  const luma = width * height;
  const message = Buffer.alloc(HEADER + (luma * 3) / 2);
  message.writeUInt32LE(width, 0);
  message.writeUInt32LE(height, 4);
  message.writeUInt32LE(stream === "local" ? 1 : 0, 12);
  const planes = message.subarray(HEADER);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [r, g, b] = color(
        scene,
        (column - width * scene.at) / height,
        row / height,
        2.5 / height,
      );
      planes[row * width + column] = 16 + 0.257 * r + 0.504 * g + 0.098 * b;
      if (row % 2 === 0 && column % 2 === 0) {
        const chroma = luma + (row / 2) * (width / 2) + column / 2;
        planes[chroma] = 128 - 0.148 * r - 0.291 * g + 0.439 * b;
        planes[chroma + luma / 4] = 128 + 0.439 * r - 0.368 * g - 0.071 * b;
      }
    }
  }
  return message;
}

/** The size that the app would send: 16:9, no larger than requested, even. */
export function fitted(maxWidth, maxHeight) {
  const width = Math.min(1280, maxWidth, Math.floor((maxHeight * 16) / 9)) & ~3;
  return [Math.max(4, width), Math.max(2, Math.floor((width * 9) / 16) & ~1)];
}
