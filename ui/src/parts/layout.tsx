// What the quiet screens share: the bar at the top, and a heading that takes the focus.

import type { ComponentChildren } from "preact";

import { words } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { Mark } from "./icons";
import { Incoming, Opened } from "./invitations";
import { Problems } from "./problems";

export function Bar({ state, act }: View) {
  const { status, name } = state.server;
  return (
    <header class="bar">
      <div class="brand">
        <Mark />
        <span>{words.appName}</span>
      </div>
      <div class="bar-end">
        {status !== "idle" && (
          <span class={`chip server-${status}`} data-server={status}>
            <i class="dot" />
            <span class="label">
              {words.server[status].replace("{server}", plain(name ?? "", 60))}
            </span>
          </span>
        )}
        <Button
          action="settings"
          icon="settings"
          label={words.settings.title}
          keys="settings"
          iconOnly
          kind="quiet"
          onClick={act.openSettings}
        />
      </div>
    </header>
  );
}

interface CentredProps extends View {
  /** The screen's name, as tests know it. */
  name: string;
  children: ComponentChildren;
}

/** A screen with one thing in its middle. */
export function Centred({ name, children, ...view }: CentredProps) {
  return (
    <main data-screen={name} class="screen calm">
      <Bar {...view} />
      <div class="center">
        <Incoming {...view} />
        {name === "ended" && <Opened {...view} />}
        <Problems slot="top" {...view} />
        <div class="card">{children}</div>
      </div>
    </main>
  );
}

/**
 * The screen's heading. It takes the focus when its screen appears, so that screen readers begin
 * there.
 */
export function Heading({ children }: { children: ComponentChildren }) {
  return (
    <h1 id="heading" tabindex={-1}>
      {children}
    </h1>
  );
}
