// The page for a state: one screen, and the settings dialog over it.

import { words } from "../locale";
import type { PageState, View } from "../page-state";
import { ConfirmClose } from "../parts/confirm-close";
import { Mark } from "../parts/icons";
import { ProblemWords } from "../parts/problems";
import { Rules } from "../parts/rules";
import { Settings } from "../parts/settings";
import { Connecting } from "./connecting";
import { Ended } from "./ended";
import { InCall } from "./in-call";
import { Lobby } from "./lobby";
import { Waiting } from "./waiting";

export function Page(view: View) {
  return (
    <>
      <CurrentScreen {...view} />
      <Settings {...view} />
      <Rules {...view} />
      <ConfirmClose {...view} />
      {!view.page.reachable && (
        <div class="app-lost">
          <Unreachable />
        </div>
      )}
    </>
  );
}

function CurrentScreen(view: View) {
  const { screen } = view.state;
  switch (screen.kind) {
    case "lobby":
      return <Lobby {...view} />;
    case "waiting":
      return <Waiting {...view} screen={screen} />;
    case "connecting":
      return <Connecting {...view} screen={screen} />;
    case "inCall":
      return <InCall {...view} call={screen} />;
    case "ended":
      return <Ended {...view} screen={screen} />;
  }
}

/** Shown until the app sends its first state. */
export function LoadingPage({ reachable }: Pick<PageState, "reachable">) {
  return (
    <main data-screen="loading" class="screen calm">
      <div class="center">
        <div class="card">
          <Mark />
          {reachable ? <p>{words.loading}</p> : <Unreachable />}
        </div>
      </div>
    </main>
  );
}

function Unreachable() {
  return (
    <div class="problem" role="alert" data-problem="APP_UNREACHABLE">
      <div class="problem-words">
        <ProblemWords code="APP_UNREACHABLE" />
      </div>
    </div>
  );
}
