// The home screen: check camera and sound, and choose how to call.

import { words, wordsFor } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { DeviceToggles } from "../parts/device-toggles";
import { Devices } from "../parts/devices";
import { Host } from "../parts/host";
import { Icon, Mark } from "../parts/icons";
import { Incoming, Opened } from "../parts/invitations";
import { Bar, Heading } from "../parts/layout";
import { NameField } from "../parts/name-field";
import { PeopleNearby } from "../parts/nearby";
import { Problems } from "../parts/problems";
import { Recents } from "../parts/recents";
import { ServerSetup } from "../parts/server-setup";
import { VerbatimField } from "../parts/text-field";
import { InviteCard } from "./invite";
import { Welcome } from "./welcome";

const t = words.lobby;

export function Lobby(view: View) {
  const { state, page } = view;
  const invited = state.invitation !== null;
  const first = !state.settings.welcomed && !invited && state.host.status === "off";
  return (
    <main data-screen="lobby" class="screen lobby">
      <Bar {...view} />
      <div class="lobby-grid">
        <Preview {...view} />
        <section class="meet" aria-labelledby="heading">
          <Incoming {...view} />
          <Opened {...view} />
          <Problems slot="top" {...view} />
          <ServerTrouble {...view} />
          {page.setup ? (
            <ServerSetup {...view} />
          ) : state.nearby.open ? (
            <PeopleNearby {...view} />
          ) : first ? (
            <FirstStart {...view} />
          ) : (
            <>
              <div class="greeting">
                <Heading>{t.title}</Heading>
                <p class="hint">{t.subtitle}</p>
              </div>
              <NameField id="name" {...view} />
              <Invite {...view} />
              {!invited && <FindPartner {...view} />}
              <CallWithCode {...view} />
              <Nearby {...view} />
              <RecentCalls {...view} />
            </>
          )}
        </section>
        <Devices {...view} level />
      </div>
    </main>
  );
}

/** The local camera. `frames/` draws on the canvas. */
function Preview(view: View) {
  const { status } = view.state.preview;
  const note = {
    off: t.previewOff,
    starting: t.previewStarting,
    on: null,
    failed: t.previewFailed,
  }[status];
  return (
    <section class="preview" aria-label={t.preview} data-preview={status}>
      <canvas id="local" class="mirrored" role="img" aria-label={t.previewLabel} />
      {note !== null && (
        <div class="preview-note">
          {status === "starting" ? <Mark /> : <Icon name="cameraOff" />}
          <p>{note}</p>
        </div>
      )}
      <DeviceToggles {...view} />
    </section>
  );
}

/** Why the server can't be reached, before anyone presses a button in vain. */
function ServerTrouble({ state, act }: View) {
  const { status, cause } = state.server;
  if (status !== "unreachable" || cause === null) return null;
  const { what, todo } = wordsFor(cause);
  return (
    <div class="notice" data-cause={cause}>
      <p>
        <strong>{what}</strong>
      </p>
      {todo !== undefined && <p>{todo}</p>}
      <div class="buttons">
        <Button
          action="retry-server"
          icon="refresh"
          label={t.retryServer}
          onClick={() => void act.send({ type: "retryServer" })}
        />
      </div>
    </div>
  );
}

/** Each way explains what it needs. What is missing is offered next. */
function FirstStart(view: View) {
  const { page, act } = view;
  return (
    <>
      <Welcome
        onInvite={() => void act.withServer({ type: "invite" })}
        onNearby={() => void act.welcome({ type: "openNearby" })}
        onMeet={() => void act.withServer(null)}
        text={page.drafts.code}
        onText={(code) => {
          act.draft({ code });
        }}
        onJoin={(code) => void act.call({ type: "callWithCode", code })}
      >
        <Problems slot="room" {...view} />
        <Problems slot="invite" {...view} />
      </Welcome>
      <Problems slot="host" {...view} />
      <Problems slot="nearby" {...view} />
    </>
  );
}

function Invite(view: View) {
  const { state, act } = view;
  const { invitation } = state;
  return (
    <div class="find" data-invitation={invitation?.status ?? "none"}>
      {invitation?.status === "ready" ? (
        <>
          {invitation.replaced && <p class="notice">{t.inviteReplaced}</p>}
          <InviteCard
            code={invitation.code}
            appLink={invitation.appLink}
            webLink={invitation.webLink}
            server={invitation.server}
          />
          <Button
            action="cancel-invite"
            icon="close"
            label={t.cancelInvite}
            kind="quiet"
            onClick={() => void act.send({ type: "cancelInvite" })}
          />
        </>
      ) : (
        <>
          <Button
            action="invite"
            icon="link"
            label={invitation === null ? t.invite : t.inviting}
            kind="primary"
            disabled={invitation !== null || state.server.status === "unreachable"}
            onClick={() => void act.withServer({ type: "invite" })}
          />
          <p class="hint">{t.inviteHint}</p>
        </>
      )}
      <Problems slot="invite" {...view} />
    </div>
  );
}

function FindPartner({ state, act }: View) {
  return (
    <div class="find">
      <Button
        action="find-partner"
        icon="search"
        label={t.find}
        disabled={state.server.status === "unreachable"}
        onClick={() => void act.withServer({ type: "findPartner" })}
      />
      <p class="hint">{t.findHint}</p>
    </div>
  );
}

function CallWithCode(view: View) {
  const { page, act } = view;
  return (
    <form
      class="field with-code"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void act.call({ type: "callWithCode", code: page.drafts.code.trim() });
      }}
    >
      <label for="room-code">{t.call}</label>
      <div class="row">
        <VerbatimField
          id="room-code"
          placeholder={t.codePlaceholder}
          aria-describedby="code-hint"
          value={page.drafts.code}
          onText={(code) => {
            act.draft({ code });
          }}
        />
        <Button action="call-with-code" icon="phone" label={t.callShort} type="submit" />
      </div>
      <p id="code-hint" class="hint">
        {t.codeHint}
      </p>
      <Problems slot="room" {...view} />
    </form>
  );
}

/** Opens the list of people nearby. A household's server is stopped here, too. */
function Nearby(view: View) {
  const { state, act } = view;
  return (
    <>
      <div class="find">
        <Button
          action="nearby"
          icon="network"
          label={words.nearby.title}
          onClick={() => void act.send({ type: "openNearby" })}
        />
        <p class="hint">{words.nearby.lobbyHint}</p>
        <Problems slot="nearby" {...view} />
      </div>
      {state.host.status === "off" ? <Problems slot="host" {...view} /> : <Host {...view} />}
    </>
  );
}

function RecentCalls({ state, page, act }: View) {
  return (
    <Recents
      calls={state.recents.map(({ id, name, atMs }) => ({
        id: String(id),
        name: name ?? "",
        when: atMs,
        callable: true,
      }))}
      nowMs={page.nowMs}
      onCall={(id) => void act.call({ type: "callRecent", id: Number(id) })}
      onRemove={(id) => void act.send({ type: "removeRecent", id: Number(id) })}
      onClear={() => void act.send({ type: "clearRecents" })}
    />
  );
}
