// Times as people read them.

/**
 * `754000` → `12:34`; from an hour on `1:02:03`. A negative time, after a clock change, is `0:00`.
 */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Milliseconds until a clock that counts from `startMs` shows the next second. */
export function untilNextSecond(startMs: number, nowMs: number): number {
  return 1000 - ((((nowMs - startMs) % 1000) + 1000) % 1000);
}
