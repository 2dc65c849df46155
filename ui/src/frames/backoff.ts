// How long to wait before connecting again.

const FIRST_MS = 100;
const CAP_MS = 5000;

/** The wait before attempt `failures` (from 1): 100 ms, doubled each time up to 5 s, with full jitter above a half. */
export function backoffMs(failures: number, random: number): number {
  const most = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return most / 2 + (most / 2) * random;
}
