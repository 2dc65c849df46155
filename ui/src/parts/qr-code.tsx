// A QR code, drawn as SVG.

import { encode } from "uqr";

/** In modules. ISO/IEC 18004 asks for four, and scanners fail without them. */
const QUIET_ZONE = 4;

interface QrCodeProps {
  /** What the code says when it is scanned; at most 2,331 bytes of UTF-8. */
  text: string;
  /** What the code is for, for people who can't see it. */
  label: string;
}

/** Dark on light in both themes, because many scanners can't read the reverse. */
export function QrCode({ text, label }: QrCodeProps) {
  const { data, size } = encode(text, { ecc: "M", border: QUIET_ZONE });
  return (
    <svg
      class="qr-code"
      viewBox={`0 0 ${size} ${size}`}
      role="img"
      aria-label={label}
      shape-rendering="crispEdges"
    >
      <rect class="qr-light" width={size} height={size} />
      <path class="qr-dark" d={modules(data)} />
    </svg>
  );
}

/** One rectangle for each run of dark modules in a row. */
function modules(rows: boolean[][]): string {
  const runs: string[] = [];
  rows.forEach((row, y) => {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      const start = x;
      while (row[x + 1]) x += 1;
      const width = x - start + 1;
      runs.push(`M${start} ${y}h${width}v1h-${width}z`);
    }
  });
  return runs.join("");
}
