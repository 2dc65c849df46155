// Makes a profile picture of an image file: a small square JPEG. The image is drawn and written as a
// new file, without what cameras add, such as where a photo was taken.

import { MAX_PICTURE_DATA_BYTES } from "./generated/contract";

/** Width and height, in pixels: twice what the largest avatar shows. */
const SIDE = 256;
/** The first whose file is small enough is used; the last always is. */
const QUALITIES = [0.92, 0.85, 0.75, 0.6, 0.4, 0.2];

/** The square in the middle of an image of this size. */
export function middle(width: number, height: number): { x: number; y: number; side: number } {
  const side = Math.min(width, height);
  return { x: (width - side) / 2, y: (height - side) / 2, side };
}

/** The first of the qualities whose `data:` URL is short enough; `null` if none is. */
export function smallEnough(encode: (quality: number) => string): string | null {
  for (const quality of QUALITIES) {
    const url = encode(quality);
    if (url.length <= MAX_PICTURE_DATA_BYTES) return url;
  }
  return null;
}

/** A `data:` URL for the app; `null` if the file is no image that can be shown. */
export async function profilePicture(file: Blob): Promise<string | null> {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    return draw(image);
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function draw(image: HTMLImageElement): string | null {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const { x, y, side } = middle(image.naturalWidth, image.naturalHeight);
  if (!context || side === 0) return null;
  canvas.width = SIDE;
  canvas.height = SIDE;
  // JPEG has no transparency: what shows through is white, not black.
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, side, side, 0, 0, SIDE, SIDE);
  return smallEnough((quality) => canvas.toDataURL("image/jpeg", quality));
}
