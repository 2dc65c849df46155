// What only the page knows: what the user is typing, whether the settings are open, which command
// the app refused. Everything else is the app's state.

import type { Send, SendError } from "./backend";
import type { AppState, Command, ProblemPlace } from "./generated/contract";

/** A refused command, shown like a problem until the next command succeeds. */
export interface Refusal {
  code: SendError["code"];
  place: ProblemPlace;
  detail: string | null;
}

/**
 * Text in the fields that the app has not taken yet; `null` where the field shows the app's text.
 */
export interface Drafts {
  name: string | null;
  age: string | null;
  location: string | null;
  /** As it is typed, with commas. */
  interests: string | null;
  serverUrl: string | null;
  caFile: string | null;
  /** Never kept longer than the settings are open. */
  token: string;
  code: string;
  /** The address of a person nearby. */
  nearbyAddress: string;
}

export interface PageState {
  nowMs: number;
  settingsOpen: boolean;
  /** The rules for meeting strangers are shown. */
  rulesOpen: boolean;
  /** The user has to choose a server first, and then goes on with this command, if there is one. */
  setup: { then: Command | null } | null;
  drafts: Drafts;
  refusal: Refusal | null;
  /** The user has not touched anything for a while, so a call hides its controls. */
  idle: boolean;
  /** The app answers the page. */
  reachable: boolean;
}

export function initialPage(nowMs: number): PageState {
  return {
    nowMs,
    settingsOpen: false,
    rulesOpen: false,
    setup: null,
    drafts: {
      name: null,
      age: null,
      location: null,
      interests: null,
      serverUrl: null,
      caFile: null,
      token: "",
      code: "",
      nearbyAddress: "",
    },
    refusal: null,
    idle: false,
    reachable: true,
  };
}

/** What components can do. */
export interface Actions {
  send: Send;
  openSettings: () => void;
  closeSettings: () => void;
  draft: (drafts: Partial<Drafts>) => void;
  /** Sends the name that was typed, if it is new. Returns whether the app has it. */
  commitName: () => Promise<boolean>;
  /** Sends the age and the place that were typed. */
  commitAbout: () => void;
  /**
   * Starts a call under the name that was typed; not if the app refuses that name. Before the first
   * call with a stranger, it shows the rules instead.
   */
  call: (command: Command) => Promise<void>;
  /** Sends the interests that were typed. */
  commitInterests: () => void;
  /** The user agrees to the rules for meeting strangers, and meets one. */
  acceptRules: () => Promise<void>;
  closeRules: () => void;
  commitServerUrl: () => void;
  commitCaFile: () => void;
  /**
   * Starts a call or an invite at the user's server; asks for a server if there is none. `null`:
   * only asks.
   */
  withServer: (command: Command | null) => Promise<void>;
  /** Notes that the user has seen the ways to call, and goes on with `command`. */
  welcome: (command: Command) => Promise<void>;
  /** Takes the server that was typed, and goes on with what needed it. */
  finishSetup: () => Promise<void>;
  leaveSetup: () => void;
  dismissRefusal: () => void;
}

/** What every component is rendered from. */
export interface View {
  state: AppState;
  page: PageState;
  act: Actions;
}

/** Refusals that only mean that the page was a moment behind. */
const SILENT = new Set<SendError["code"]>([
  "NOT_NOW",
  "UNKNOWN_PROBLEM",
  "UNKNOWN_CALL",
  "UNKNOWN_RECENT",
  "UNKNOWN_NEARBY",
]);

/**
 * Where to show that the app refused a command. All others are shown in the settings while these
 * are open, and at the top of the screen otherwise.
 */
const PLACES: Partial<Record<Command["type"], ProblemPlace>> = {
  findPartner: "server",
  report: "call",
  block: "call",
  callWithCode: "room",
  invite: "invite",
  cancelInvite: "invite",
  joinOpened: "room",
  setCamera: "camera",
  setCameraOn: "camera",
  setMicrophone: "microphone",
  setSpeaker: "speaker",
  testSpeaker: "speaker",
  refreshDevices: "camera",
  openNearby: "nearby",
  callNearby: "nearby",
  callAddress: "nearby",
  startHost: "host",
  stopHost: "host",
  setToken: "access",
  forgetToken: "access",
  setCaFile: "access",
};

/** What to show when the app refused `command`; `null` for nothing. */
export function refusalOf(command: Command, { code, detail }: SendError): Refusal | null {
  if (SILENT.has(code)) return null;
  return { code, place: PLACES[command.type] ?? "settings", detail };
}
