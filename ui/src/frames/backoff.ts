// How long to wait before reconnecting.

const FIRST_MS = 100;
const CAP_MS = 5000;

/**
 * The wait after so many failures in a row (from 1): 100 ms, doubled each time up to 5 s. `random`,
 * from 0 to 1, picks a point in the upper half, so that two streams don't retry together.
 */
export function backoffMs(failures: number, random: number): number {
  const most = Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return most / 2 + (most / 2) * random;
}
