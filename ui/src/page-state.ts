// What only the page knows: what is being typed, which dialog is open, what was refused. Everything else is the app's.

import type { CommandName, Send } from "./backend";
import type { AppState, Place } from "./generated/contract";

/** A command that was refused, shown like any other problem until the next one succeeds. */
export interface Refusal {
  code: string;
  place: Place;
  detail: string | null;
}

export interface PageState {
  nowMs: number;
  settingsOpen: boolean;
  /** Text that was typed and not yet taken over by the app. */
  drafts: { name: string | null; relayUrl: string | null; code: string };
  refusal: Refusal | null;
  /** Nothing was touched for a while in a call: the picture has the window for itself. */
  idle: boolean;
  /** The app answers the page. */
  reachable: boolean;
}

export function initialPage(nowMs: number): PageState {
  return {
    nowMs,
    settingsOpen: false,
    drafts: { name: null, relayUrl: null, code: "" },
    refusal: null,
    idle: false,
    reachable: true,
  };
}

/** What the views may do. */
export interface Actions {
  send: Send;
  openSettings: () => void;
  closeSettings: () => void;
  draft: (drafts: Partial<PageState["drafts"]>) => void;
  commitName: () => void;
  commitRelayUrl: () => void;
  dismissRefusal: () => void;
}

/** All that a view is made from. */
export interface ViewContext {
  state: AppState;
  page: PageState;
  act: Actions;
}

/** Refusals that only say that the page was a moment behind: not worth a word. */
const SILENT = new Set(["NOT_NOW", "UNKNOWN_PROBLEM"]);

const PLACES: Partial<Record<CommandName, Place>> = {
  call_with_code: "room",
  find_partner: "relay",
  set_camera: "camera",
  set_camera_on: "camera",
  set_microphone: "microphone",
  set_speaker: "speaker",
  test_speaker: "speaker",
  start_host: "host",
  stop_host: "host",
  set_relay_url: "settings",
  set_name: "settings",
  set_theme: "settings",
  set_processing: "settings",
  refresh_devices: "camera",
};

/** Where and whether to tell that `command` was refused. */
export function refusalOf(command: CommandName, code: string, detail: string | null): Refusal | null {
  return SILENT.has(code) ? null : { code, place: PLACES[command] ?? "call", detail };
}
