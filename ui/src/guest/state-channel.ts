// The messages on the data channel: whether microphone and camera are on. The app's side is
// `partner_state/` in src-tauri/call.

/** The label of the data channel. */
export const CHANNEL = "tandem";
/** Longer messages are dropped unread, in UTF-16 units. Ours take about 50. */
const MAX_LENGTH = 1024;

export interface DeviceState {
  muted: boolean;
  camera: boolean;
}

export function stateMessage({ muted, camera }: DeviceState): string {
  return JSON.stringify({ type: "state", muted, camera });
}

/** The partner's state; `null` for every other message. */
export function parseState(data: unknown): DeviceState | null {
  if (typeof data !== "string" || data.length > MAX_LENGTH) return null;
  try {
    const { type, muted, camera } = JSON.parse(data) as Record<string, unknown>;
    const isState = type === "state" && typeof muted === "boolean" && typeof camera === "boolean";
    return isState ? { muted, camera } : null;
  } catch {
    return null;
  }
}
