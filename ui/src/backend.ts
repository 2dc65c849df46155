// The app behind the page: its commands and events, typed.

import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";

import type { AppState, CommandError, FrameSocket, MicrophoneLevel, StateChange, Theme } from "./generated/contract";

/** The commands that change something, with their arguments. */
export interface Commands {
  find_partner: undefined;
  call_with_code: { code: string };
  cancel: undefined;
  hang_up: undefined;
  next: undefined;
  retry: undefined;
  to_lobby: undefined;
  set_muted: { muted: boolean };
  set_camera_on: { on: boolean };
  set_camera: { id: string | null };
  set_microphone: { id: string | null };
  set_speaker: { id: string | null };
  set_name: { name: string };
  set_relay_url: { url: string };
  set_theme: { theme: Theme };
  set_processing: { echoCancellation: boolean; noiseSuppression: boolean; autoGain: boolean };
  start_host: { lan: boolean };
  stop_host: undefined;
  test_speaker: undefined;
  refresh_devices: undefined;
  dismiss_problem: { id: number };
}

export type CommandName = keyof Commands;

/** Sends a command; gives why it was refused, or nothing. */
export type Send = <Name extends CommandName>(name: Name, args: Commands[Name]) => Promise<CommandError | undefined>;

export interface Backend {
  send: Send;
  state(): Promise<AppState>;
  frameSocket(): Promise<FrameSocket>;
  onStateChanged(listener: (change: StateChange) => void): Promise<unknown>;
  onMicrophoneLevel(listener: (level: number) => void): Promise<unknown>;
}

export const tauri: Backend = {
  async send(name, args) {
    try {
      await invoke(name, args);
      return undefined;
    } catch (error) {
      return asCommandError(error);
    }
  },
  state: () => invoke<AppState>("get_state"),
  frameSocket: () => invoke<FrameSocket>("frame_socket"),
  onStateChanged: (listener) =>
    listen<StateChange>("state-changed", (event) => {
      listener(event.payload);
    }),
  onMicrophoneLevel: (listener) =>
    listen<MicrophoneLevel>("microphone-level", (event) => {
      listener(event.payload.level);
    }),
};

/** A refusal of the app as it is; anything else, as a missing permission, keeps its text for the curious. */
export function asCommandError(error: unknown): CommandError {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string") {
    return error as CommandError;
  }
  return { code: "COMMAND_FAILED" as CommandError["code"], detail: typeof error === "string" ? error : null };
}
