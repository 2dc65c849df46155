// Times as people read them.

import { words } from "./locale";

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

/**
 * When something was, in the local time zone: "Today, 20:14", "Yesterday, 9:05", "Monday, 9:05"
 * within a week, and "12 Jan 2026, 9:05" before that.
 */
export function dayAndTime(thenMs: number, nowMs: number): string {
  const then = new Date(thenMs);
  const time = then.toLocaleTimeString(words.language, { hour: "numeric", minute: "2-digit" });
  return `${day(then, new Date(nowMs))}, ${time}`;
}

function day(then: Date, now: Date): string {
  // Noon, because days are not all 24 hours long.
  const noon = (it: Date) => new Date(it.getFullYear(), it.getMonth(), it.getDate(), 12).getTime();
  const daysAgo = Math.round((noon(now) - noon(then)) / 86_400_000);
  if (daysAgo === 0) return words.days.today;
  if (daysAgo === 1) return words.days.yesterday;
  if (daysAgo > 1 && daysAgo < 7) {
    return then.toLocaleDateString(words.language, { weekday: "long" });
  }
  return then.toLocaleDateString(words.language, {
    day: "numeric",
    month: "short",
    year: "numeric",
  });
}
