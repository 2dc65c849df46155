// Whether anything arrives from the partner, and whether another route has to be looked for.

export class Silence {
  /** The peer connection is not connected. */
  isDown = false;
  /** Nothing has arrived from the partner for a while, whatever the peer connection says. */
  isSilent = false;
  /** Since when no media has arrived. */
  sinceMs: number | null = null;
  /** Another route is to be looked for once the server is back. */
  wantsRoute = false;
  /** Another route has been looked for since the partner was last heard. */
  hasSearched = false;

  /** Takes note of whether media is missing, and returns it. */
  update(nowMs: number): boolean {
    const isMissing = this.isDown || this.isSilent;
    this.sinceMs = isMissing ? (this.sinceMs ?? nowMs) : null;
    return isMissing;
  }

  /** The way that was lost is there again, or another one is. */
  heard(): void {
    this.isSilent = false;
    this.wantsRoute = false;
    this.hasSearched = false;
  }
}
