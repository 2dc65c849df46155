// Notices early that nothing arrives from the partner any more. Browsers call a connection
// "disconnected" after about five seconds, and "failed" after fifteen or more.

/** What a peer connection's statistics say about what has arrived, as sums. */
export interface Arrived {
  /** RTP packets. */
  packets: number;
  /** Everything that has been counted: RTP, RTCP, the answers to ICE's checks, the partner's checks. */
  total: number;
}

/** How often to ask `RouteWatch.sample`, in ms. */
export const SAMPLE_MS = 250;
/** Where RTP arrives steadily, this time without anything is a silence, in ms. */
export const STEADY_SILENCE_MS = 1000;
/** Otherwise this: RTCP comes once a second. */
export const SILENCE_MS = 3000;
/** A silence is reported again after this time, in ms, and then after twice as long each time. */
export const REPEAT_MS = 5000;
/** Fewer RTP packets between two samples are not steady: audio alone has 50 a second. */
const STEADY_PACKETS = 5;
/** How many of the newest samples count. Media may have ended early in the last one that had any. */
const STEADY_SAMPLES = 3;

export class RouteWatch {
  #before: Arrived = { packets: 0, total: 0 };
  #heardMs: number | null = null;
  /** RTP packets of the newest samples in which something arrived. */
  #packets: number[] = [];
  #reportedMs: number | null = null;
  #repeatMs = REPEAT_MS;

  /** Whether the partner has been silent for a while, or is heard again; `null`: no news. */
  sample(nowMs: number, arrived: Arrived): "silent" | "heard" | null {
    const before = this.#before;
    this.#before = arrived;
    // Pairs that an ICE restart removes take their figures with them.
    if (arrived.total > before.total || this.#heardMs === null) {
      this.#packets.push(arrived.packets - before.packets);
      this.#packets.splice(0, this.#packets.length - STEADY_SAMPLES);
      this.#heardMs = nowMs;
      const wasSilent = this.#reportedMs !== null;
      this.#reportedMs = null;
      this.#repeatMs = REPEAT_MS;
      return wasSilent ? "heard" : null;
    }

    const isSteady = Math.max(...this.#packets) >= STEADY_PACKETS;
    const limitMs = isSteady ? STEADY_SILENCE_MS : SILENCE_MS;
    const isFirst = this.#reportedMs === null;
    const isDue = this.#reportedMs === null || nowMs - this.#reportedMs >= this.#repeatMs;
    if (nowMs - this.#heardMs < limitMs || !isDue) return null;
    if (!isFirst) this.#repeatMs *= 2;
    this.#reportedMs = nowMs;
    return "silent";
  }
}

/** The sums of a connection's statistics. */
export function arrived(stats: RTCStatsReport): Arrived {
  const sum = { packets: 0, total: 0 };
  stats.forEach((entry: Record<string, unknown>) => {
    const figure = (name: string) => (typeof entry[name] === "number" ? entry[name] : 0);
    if (entry.type === "inbound-rtp") sum.packets += figure("packetsReceived");
    if (entry.type === "candidate-pair") {
      sum.total +=
        figure("bytesReceived") + figure("responsesReceived") + figure("requestsReceived");
    }
  });
  sum.total += sum.packets;
  return sum;
}
