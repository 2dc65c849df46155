// Whether this browser can make a call from this page, and if not, why.

/** What is in the way. */
export type Obstacle = "insecure" | "tooOld";

/** What a browser has of what a call needs. */
export interface Abilities {
  isSecureContext: boolean;
  mediaDevices: unknown;
  RTCPeerConnection: unknown;
  WebSocket: unknown;
}

/** `null`: nothing is in the way. */
export function obstacle(has: Abilities): Obstacle | null {
  // Without TLS, browsers hide the devices of all but this machine's own pages.
  if (!has.isSecureContext) return "insecure";
  const isComplete = has.mediaDevices && has.RTCPeerConnection && has.WebSocket;
  return isComplete ? null : "tooOld";
}
