// States and views for the unit tests: the same states that the browser tests and the screenshots
// show.

import { STATES as SHARED, call, state, HOSTILE, NOW } from "../../tests/states.mjs";
import { vi } from "vitest";

import type { AppState, InCall } from "../generated/contract";
import { initialPage, type Actions, type PageState, type View } from "../page-state";

export const STATES = SHARED as Record<string, AppState>;
export const makeState = state as (change?: Partial<AppState>) => AppState;
export const makeCall = call as (change?: Partial<InCall>) => { kind: "inCall" } & InCall;
export { HOSTILE, NOW };

export function actions(): Actions {
  return {
    send: vi.fn().mockResolvedValue(undefined),
    openSettings: vi.fn(),
    closeSettings: vi.fn(),
    draft: vi.fn(),
    commitName: vi.fn(),
    commitServerUrl: vi.fn(),
    dismissRefusal: vi.fn(),
  };
}

export function makeView(state: AppState, page: Partial<PageState> = {}): View {
  return { state, page: { ...initialPage(NOW), ...page }, act: actions() };
}
