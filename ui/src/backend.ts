// The app behind the page: its calls and events, typed.

import { invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";

import type {
  AppState,
  Command,
  CommandErrorCode,
  FrameSocket,
  MicrophoneLevel,
  StateChange,
} from "./generated/contract";

/** Codes that the page sets by itself, when the app gives none. */
export type PageCode =
  /** A command failed without a reason from the app. */
  | "COMMAND_FAILED"
  /** The app doesn't answer at all. */
  | "APP_UNREACHABLE";

/** Why a command was not carried out. */
export interface SendError {
  code: CommandErrorCode | PageCode;
  /** The cause, for a bug report. */
  detail: string | null;
}

/** Sends a command. Resolves to `undefined` when the app carried it out, else to the reason. */
export type Send = (command: Command) => Promise<SendError | undefined>;

/** What the page needs of the app. Tests supply their own. */
export interface Backend {
  send: Send;
  state(): Promise<AppState>;
  frameSocket(): Promise<FrameSocket>;
  onStateChanged(listener: (change: StateChange) => void): Promise<unknown>;
  onMicrophoneLevel(listener: (level: number) => void): Promise<unknown>;
}

/** The app in whose window the page runs. */
export const tauri: Backend = {
  async send(command) {
    try {
      await invoke("run", { command });
      return undefined;
    } catch (error) {
      return asSendError(error);
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

/**
 * The app's own error as it is. Anything else, such as a missing permission, keeps its text as
 * detail.
 */
export function asSendError(error: unknown): SendError {
  if (typeof error === "object" && error !== null && "code" in error) {
    if (typeof error.code === "string") return error as SendError;
  }
  return { code: "COMMAND_FAILED", detail: typeof error === "string" ? error : null };
}
