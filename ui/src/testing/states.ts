// States and views for the unit tests: the same states that the browser tests and the screenshots
// show.

import { vi } from "vitest";

import { NOW } from "../../tests/states.mjs";
import type { AppState, CallerKind, IncomingCall } from "../generated/contract";
import { initialPage, type Actions, type PageState, type View } from "../page-state";

export {
  HOSTILE,
  NOW,
  SAFETY_WORDS,
  STRANGER,
  STATES,
  call as makeCall,
  state as makeState,
} from "../../tests/states.mjs";

/** Someone who rings. */
export const makeRing = (kind: CallerKind): IncomingCall => ({
  id: 1,
  name: "Amara",
  picture: null,
  kind,
  byInvite: kind === "invited",
});

export function actions(): Actions {
  const send = vi.fn().mockResolvedValue(undefined);
  return {
    send,
    call: vi.fn(async (command) => {
      await send(command);
    }),
    openSettings: vi.fn(),
    closeSettings: vi.fn(),
    draft: vi.fn(),
    commitName: vi.fn().mockResolvedValue(true),
    commitAbout: vi.fn(),
    commitInterests: vi.fn(),
    acceptRules: vi.fn().mockResolvedValue(undefined),
    closeRules: vi.fn(),
    commitServerUrl: vi.fn(),
    commitCaFile: vi.fn(),
    withServer: vi.fn(async (command) => {
      if (command) await send(command);
    }),
    welcome: vi.fn(async (command) => {
      await send(command);
    }),
    finishSetup: vi.fn().mockResolvedValue(undefined),
    leaveSetup: vi.fn(),
    dismissRefusal: vi.fn(),
  };
}

export function makeView(state: AppState, page: Partial<PageState> = {}): View {
  return { state, page: { ...initialPage(NOW), ...page }, act: actions() };
}
