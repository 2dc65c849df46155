// The call with the other person, as the server knows it, and what is known of them.

export class Session {
  readonly id: string;
  readonly socketId: string;
  /** What the other person reported last. */
  reported = { partnerMuted: false, partnerCameraOff: false };
  /** The last move of the check, which may have been lost with the connection. */
  lastMove: unknown = null;
  /** Why the other person left before the check was over, as the server says. */
  left: string | null = null;
  /** The server has lost the other person for good. */
  partnerGone = false;

  constructor(id: string, socketId: string) {
    this.id = id;
    this.socketId = socketId;
  }
}
