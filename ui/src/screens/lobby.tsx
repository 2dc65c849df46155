// The home screen: check camera and sound, and choose how to call.

import { MAX_USER_NAME_CHARS } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "../parts/button";
import { DeviceToggles } from "../parts/device-toggles";
import { Devices } from "../parts/devices";
import { Icon, Mark } from "../parts/icons";
import { Bar, Heading } from "../parts/layout";
import { Problems } from "../parts/problems";
import { TextField } from "../parts/text-field";

const t = words.lobby;

export function Lobby(view: View) {
  return (
    <main data-screen="lobby" class="screen lobby">
      <Bar {...view} />
      <div class="lobby-grid">
        <Preview {...view} />
        <section class="meet" aria-labelledby="heading">
          <div class="greeting">
            <Heading>{t.title}</Heading>
            <p class="hint">{t.subtitle}</p>
          </div>
          <Problems slot="top" {...view} />
          <NameField {...view} />
          <FindPartner {...view} />
          <CallWithCode {...view} />
          <Host {...view} />
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

function NameField({ state, page, act }: View) {
  return (
    <div class="field">
      <label for="name">{t.name}</label>
      <TextField
        id="name"
        autocomplete="nickname"
        spellcheck={false}
        dir="auto"
        placeholder={t.namePlaceholder}
        value={page.drafts.name ?? state.settings.name}
        onText={(name) => {
          act.draft({ name });
        }}
        maxLength={2 * MAX_USER_NAME_CHARS}
        onChange={() => void act.commitName()}
      />
    </div>
  );
}

function FindPartner({ act }: View) {
  return (
    <div class="find">
      <Button
        action="find-partner"
        icon="search"
        label={t.find}
        kind="primary"
        onClick={() => {
          void act.call({ type: "findPartner" });
        }}
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
        <TextField
          id="room-code"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          dir="ltr"
          placeholder={t.codePlaceholder}
          aria-describedby="code-hint"
          value={page.drafts.code}
          onText={(code) => {
            act.draft({ code });
          }}
        />
        <Button
          action="call-with-code"
          icon="key"
          label={t.callShort}
          describe={t.call}
          type="submit"
        />
      </div>
      <p id="code-hint" class="hint">
        {t.codeHint}
      </p>
      <Problems slot="room" {...view} />
    </form>
  );
}

function Host(view: View) {
  const { host } = view.state;
  const { act } = view;
  const t = words.host;
  const starting = host.status === "starting";
  return (
    <div class={`host${host.status === "on" ? " on" : ""}`} data-host={host.status}>
      {host.status === "on" ? (
        <>
          <p class="host-title">
            <i class="dot" />
            {t.on}
          </p>
          <Addresses addresses={host.addresses} />
          <Button
            key="stop-host"
            action="stop-host"
            label={t.stop}
            onClick={() => void act.send({ type: "stopHost" })}
          />
        </>
      ) : (
        <>
          <Button
            key="host"
            action="host"
            icon="network"
            label={starting ? t.starting : t.start}
            disabled={starting}
            onClick={() => void act.send({ type: "startHost", lan: true })}
          />
          <p class="hint">{t.hint}</p>
        </>
      )}
      <Problems slot="host" {...view} />
    </div>
  );
}

/** What to enter on the other computer. */
function Addresses({ addresses }: { addresses: string[] }) {
  const t = words.host;
  if (addresses.length === 0) return <p class="hint">{t.noAddress}</p>;
  return (
    <div class="host-tell">
      <p class="hint">{addresses.length === 1 ? t.tellOne : t.tellMany}</p>
      <ul class="addresses">
        {addresses.map((address) => (
          <li key={address}>
            <code>{address}</code>
          </li>
        ))}
      </ul>
    </div>
  );
}
