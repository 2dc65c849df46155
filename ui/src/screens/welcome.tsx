// The first start asks one thing: how do you want to call?

import type { ComponentChildren } from "preact";

import { words } from "../locale";
import { Button } from "../parts/button";
import { Icon, type IconName } from "../parts/icons";
import { Heading } from "../parts/layout";
import { VerbatimField } from "../parts/text-field";

const t = words.welcome;

export interface WelcomeProps {
  onInvite: () => void;
  onNearby: () => void;
  onMeet: () => void;
  /** What the user has typed or pasted so far. */
  text: string;
  onText: (text: string) => void;
  /** Called with the text without spaces around it, when there is any. */
  onJoin: (text: string) => void;
  /** Stands under the text field: what is wrong with an invite. */
  children?: ComponentChildren;
}

/** The content of a screen: it brings its heading, but neither the bar nor `<main>`. */
export function Welcome({ onInvite, onNearby, onMeet, children, ...join }: WelcomeProps) {
  return (
    <div class="welcome">
      <Heading>{t.title}</Heading>
      <ul class="ways">
        <Way
          action="way-invite"
          icon="link"
          onClick={onInvite}
          title={t.invite.title}
          needs={t.invite.needs}
        />
        <Way
          action="way-nearby"
          icon="network"
          onClick={onNearby}
          title={t.nearby.title}
          needs={t.nearby.needs}
        />
        <Way
          action="way-meet"
          icon="search"
          onClick={onMeet}
          title={t.meet.title}
          needs={t.meet.needs}
        />
      </ul>
      <Join {...join}>{children}</Join>
    </div>
  );
}

interface WayProps {
  action: string;
  icon: IconName;
  title: string;
  needs: string;
  onClick: () => void;
}

function Way({ action, icon, title, needs, onClick }: WayProps) {
  return (
    <li>
      <button
        type="button"
        class="way"
        data-action={action}
        aria-describedby={`${action}-needs`}
        onClick={onClick}
      >
        <span class="way-icon">
          <Icon name={icon} />
        </span>
        <span class="way-title">{title}</span>
      </button>
      <p id={`${action}-needs`} class="hint">
        {needs}
      </p>
    </li>
  );
}

function Join({
  text,
  onText,
  onJoin,
  children,
}: Omit<WelcomeProps, "onInvite" | "onNearby" | "onMeet">) {
  return (
    <form
      class="field join"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const typed = text.trim();
        if (typed !== "") onJoin(typed);
      }}
    >
      <label for="invite-text">{t.join}</label>
      <div class="row">
        <VerbatimField
          id="invite-text"
          placeholder={t.joinPlaceholder}
          value={text}
          onText={onText}
        />
        <Button action="join" icon="phone" label={t.joinButton} type="submit" />
      </div>
      {children}
    </form>
  );
}
