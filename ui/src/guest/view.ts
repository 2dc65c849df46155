// What the page's components are rendered from.

import type { Invite } from "./address";
import type { Phase } from "./call-events";
import type { Kind, MediaState } from "./media";
import type { Obstacle } from "./support";

export interface GuestView {
  /** The time of the page's clock, in ms: the one in `phase`. */
  nowMs: number;
  /** `null`: the link is incomplete. */
  invite: Invite | null;
  /** Opens the call in the app; `null` where no such link can name the server. */
  appLink: string | null;
  /** The server's host, as the code's server is typed. */
  server: string;
  /** Where to get the app, if the operator says. */
  downloadUrl: string | null;
  /** Why this browser can't call from this page. */
  obstacle: Obstacle | "off" | null;
  phase: Phase;
  media: MediaState;
  /** The other person's audio and video. */
  remote: MediaStream | null;
  /** In a call: the two have no format for video in common. */
  noVideo: boolean;
  name: string;
  /** The device menus are open, in a call. */
  devicesOpen: boolean;
  isFullScreen: boolean;
  canFullScreen: boolean;
  canCopy: boolean;
  canChooseSpeaker: boolean;
  /** The browser does not play the other person's sound without a click. */
  soundBlocked: boolean;
  act: GuestActions;
}

export interface GuestActions {
  setName: (name: string) => void;
  preview: () => void;
  askAgain: () => void;
  join: () => void;
  leave: () => void;
  toStart: () => void;
  setMuted: (muted: boolean) => void;
  setCameraOn: (on: boolean) => void;
  choose: (kind: Kind | "speaker", id: string) => void;
  toggleDevices: () => void;
  toggleFullScreen: () => void;
  playSound: () => void;
  soundBlocked: () => void;
}
