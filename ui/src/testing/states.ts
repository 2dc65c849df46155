// States and views for unit tests; the same states that the browser tests and the pictures show.

import { STATES as SHARED, call, state, HOSTILE, NOW } from "../../tests/states.mjs";
import { vi } from "vitest";

import type { AppState, InCall } from "../generated/contract";
import { initialPage, type Actions, type PageState, type ViewContext } from "../page-state";

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
    commitRelayUrl: vi.fn(),
    dismissRefusal: vi.fn(),
  };
}

export function context(state: AppState, page: Partial<PageState> = {}): ViewContext {
  return { state, page: { ...initialPage(NOW), ...page }, act: actions() };
}
