// Before the call: what others will see and hear, and the way into the app.

import { words } from "../locale";
import { Button } from "../parts/button";
import { CopyButton } from "../parts/copy-button";
import { Icon } from "../parts/icons";
import { Heading } from "../parts/layout";
import { TextField } from "../parts/text-field";
import type { Invite } from "./address";
import { Centred, DeviceMenus, DeviceProblems, DeviceToggles, Problem } from "./parts";
import { LocalVideo, localLabel } from "./video";
import type { GuestView } from "./view";

const t = words.guest;

/** The longest name that the server takes, in characters. */
export const MAX_NAME_CHARS = 40;

export function Start(view: GuestView) {
  const { invite, obstacle } = view;
  if (!invite) return <Incomplete />;
  return (
    <Centred name="start">
      <div class="card guest-card">
        <Heading>{t.title}</Heading>
        {obstacle === null ? <Join {...view} /> : <Obstructed {...view} obstacle={obstacle} />}
        <InApp {...view} invite={invite} first={obstacle !== null} />
      </div>
    </Centred>
  );
}

function Incomplete() {
  return (
    <Centred name="incomplete">
      <div class="card">
        <Heading>{t.incomplete.title}</Heading>
        <p>{t.incomplete.what}</p>
        <p>{t.incomplete.todo}</p>
      </div>
    </Centred>
  );
}

function Obstructed({ obstacle }: { obstacle: "insecure" | "tooOld" | "off" }) {
  return (
    <div class="problems">
      <Problem name={obstacle} {...t.obstacles[obstacle]} />
    </div>
  );
}

function Join(view: GuestView) {
  const { media, name, act } = view;
  const failed = Object.keys(media.problems).length > 0;
  const nothing = media.status === "ready" && !media.camera && !media.microphone;
  return (
    <>
      <Preview {...view} />
      <DeviceProblems problems={media.problems} />
      <form
        class="device-menus"
        onSubmit={(event) => {
          event.preventDefault();
          act.join();
        }}
      >
        <div class="field">
          <label for="name">{words.profile.name}</label>
          <TextField
            id="name"
            autocomplete="nickname"
            spellcheck={false}
            dir="auto"
            placeholder={words.profile.namePlaceholder}
            value={name}
            onText={act.setName}
            maxLength={2 * MAX_NAME_CHARS}
          />
        </div>
        <button
          type="submit"
          class="button primary wide"
          data-action="join"
          disabled={media.status === "asking"}
        >
          <Icon name="phone" />
          <span class="label">{nothing && failed ? t.joinWithout : t.join}</span>
        </button>
      </form>
      <p class="hint">{t.joinHint}</p>
      {media.status === "ready" && (
        <details class="fold">
          <summary data-action="devices">{t.devices}</summary>
          <DeviceMenus {...view} />
        </details>
      )}
    </>
  );
}

function Preview(view: GuestView) {
  const { media, act } = view;
  if (media.status !== "ready") {
    return (
      <div class="waiting-view">
        <div class="preview-question">
          {media.status === "asking" ? (
            <>
              <p role="status">{media.canAskAgain ? t.askingLong : t.asking}</p>
              {media.canAskAgain && (
                <Button action="askAgain" icon="camera" label={t.askAgain} onClick={act.askAgain} />
              )}
            </>
          ) : (
            <>
              <p>{t.previewOff}</p>
              <Button action="preview" icon="camera" label={t.preview} onClick={act.preview} />
            </>
          )}
        </div>
      </div>
    );
  }
  return <OwnVideo {...view} />;
}

/** The local video, with the buttons for what the other person will hear and see. */
export function OwnVideo(view: GuestView) {
  const { media } = view;
  return (
    <div class="waiting-view">
      {media.camera ? (
        <LocalVideo track={media.camera} label={localLabel} />
      ) : (
        <div class="self-view-off">
          <Icon name="cameraOff" />
          <span>{media.cameraOn ? words.call.localNone : words.call.localOff}</span>
        </div>
      )}
      <div class="device-toggles">
        <DeviceToggles {...view} iconOnly />
      </div>
    </div>
  );
}

/** The way into the app: `first` where the browser can't call. */
function InApp(view: GuestView & { invite: Invite; first: boolean }) {
  const { invite, appLink, server, canCopy, downloadUrl, first } = view;
  const a = t.app;
  const kind = first ? "primary wide" : "secondary wide";
  return (
    <>
      {appLink !== null && (
        <section class="app-section">
          {!first && <h2>{a.title}</h2>}
          <a id="open" class={`button ${kind}`} href={appLink}>
            {a.open}
          </a>
          <p>{a.openHint}</p>
        </section>
      )}
      <section class="app-section">
        <h2>{appLink === null ? a.paste : a.nothing}</h2>
        <p>{a.pasteHint}</p>
        <dl>
          <div>
            <dt>{a.code}</dt>
            <dd id="code">{`${invite.room}-${invite.words}`}</dd>
          </div>
          <div>
            <dt>{a.server}</dt>
            <dd id="server">{server}</dd>
          </div>
        </dl>
        {canCopy && <CopyButton action="copy" label={a.copy} text={location.href} shownIn="code" />}
      </section>
      <section class="app-section">
        <h2>{a.missing}</h2>
        {downloadUrl === null ? (
          <p>
            {a.getHint} {a.getUnknown}
          </p>
        ) : (
          <>
            <p>{a.getHint}</p>
            <a
              id="get"
              class="button secondary wide"
              href={downloadUrl}
              target="_blank"
              rel="noopener"
            >
              {a.get}
            </a>
          </>
        )}
      </section>
    </>
  );
}
