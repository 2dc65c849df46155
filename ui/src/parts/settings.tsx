// The settings dialog: devices (unless the home screen shows them), voice, appearance, keys, server.

import type { ComponentChildren } from "preact";

import type { Theme, VideoSize } from "../generated/contract";
import { keyLabel, type Shortcut, type Zoom, zoomLabel } from "../keys";
import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";
import { Devices } from "./devices";
import { Dropdown } from "./dropdown";
import { AlwaysNearby } from "./nearby";
import { plain, serverName } from "../text";
import { Problems } from "./problems";
import { Profile } from "./profile";
import { ServerAccess } from "./server-access";
import { ServerField } from "./server-field";
import { Switch } from "./switch";

const t = words.settings;
const SHORTCUTS: Shortcut[] = ["mute", "camera", "hangUp", "fullScreen", "settings"];
const ZOOMS: Zoom[] = ["zoomIn", "zoomOut", "zoomReset"];
const SIZES: VideoSize[] = ["720p", "480p", "360p"];
/** In kbit/s. */
const BITRATES = [2500, 1200, 600, 300];
const THEMES: Theme[] = ["system", "light", "dark"];

/** Stays in the document: `app.tsx` opens it as a modal dialog, so that the focus stays inside. */
export function Settings(view: View) {
  const { page, act } = view;
  return (
    <dialog
      id="settings"
      aria-labelledby="settings-title"
      onCancel={act.closeSettings}
      onClose={({ currentTarget }) => {
        // The event comes late: the keys may have opened the settings again.
        if (!currentTarget.open) act.closeSettings();
      }}
    >
      {page.settingsOpen && (
        <>
          <header class="dialog-head">
            <h2 id="settings-title">{t.title}</h2>
            <Button
              action="close-settings"
              icon="close"
              label={t.close}
              iconOnly
              kind="quiet"
              onClick={act.closeSettings}
            />
          </header>
          <DialogBody {...view} />
        </>
      )}
      <div class="visually-hidden" role="status" />
    </dialog>
  );
}

function DialogBody(view: View) {
  return (
    <div class="dialog-body">
      <Problems slot="dialog" {...view} />
      {view.state.screen.kind !== "lobby" && (
        <Group title={words.devices.title}>
          <Devices {...view} level={false} />
        </Group>
      )}
      <Group title={words.profile.title}>
        <Profile {...view} />
      </Group>
      <Group title={words.nearby.title}>
        <AlwaysNearby id="always-nearby-setting" {...view} />
      </Group>
      <Group title={t.strangers}>
        <Switch
          id="strangerRelay"
          label={t.strangerRelay}
          hint={t.strangerRelayHint}
          on={view.state.settings.strangerRelay}
          onSwitch={(on) => void view.act.send({ type: "setStrangerRelay", on })}
        />
        <DirectServers {...view} />
      </Group>
      <Group title={t.voice}>
        <ProcessingSwitches {...view} />
      </Group>
      <Group title={t.data}>
        <DataFields {...view} />
      </Group>
      <Group title={t.ring}>
        <RingFields {...view} />
      </Group>
      <Group title={t.appearance}>
        <ThemeField {...view} />
      </Group>
      <Group title={t.keys}>
        <Keys />
        <Switch
          id="singleKeyShortcuts"
          label={t.singleKeys}
          hint={t.singleKeysHint}
          on={view.state.settings.singleKeyShortcuts}
          onSwitch={(on) => void view.act.send({ type: "setSingleKeyShortcuts", on })}
        />
      </Group>
      <Group title={t.server}>
        <ServerField id="server-url" onChange={view.act.commitServerUrl} {...view} />
        <ServerAccess {...view} />
      </Group>
    </div>
  );
}

function Group({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="group">
      <h3>{title}</h3>
      {children}
    </section>
  );
}

/** Where the user has agreed to meet strangers directly, each with a way to take that back. */
function DirectServers({ state: { settings }, act }: View) {
  const { strangerDirect: servers } = settings;
  if (servers.length === 0) return null;
  return (
    <div class="field">
      <span id="stranger-direct">{t.strangerDirect}</span>
      <ul class="direct-servers" aria-labelledby="stranger-direct">
        {servers.map((server) => (
          <li key={server}>
            <span>{serverName(server)}</span>
            <Button
              action="forget-direct"
              label={t.strangerDirectForget}
              describe={t.strangerDirectForgetLabel.replace("{server}", serverName(server))}
              kind="quiet"
              onClick={() => void act.send({ type: "takeBackStrangerDirect", server })}
            />
          </li>
        ))}
      </ul>
      <p class="hint">{t.strangerDirectHint}</p>
    </div>
  );
}

function ThemeField({ state, act }: View) {
  return (
    <div class="field">
      <label for="theme">{t.theme}</label>
      <Dropdown
        id="theme"
        value={state.settings.theme}
        onChoose={(theme) => void act.send({ type: "setTheme", theme })}
      >
        {THEMES.map((theme) => (
          <option key={theme} value={theme}>
            {t.themes[theme]}
          </option>
        ))}
      </Dropdown>
    </div>
  );
}

function ProcessingSwitches({ state, act }: View) {
  const { echoCancellation, noiseSuppression, autoGain } = state.settings;
  const now = { echoCancellation, noiseSuppression, autoGain };
  const set = (change: Partial<typeof now>) =>
    void act.send({ type: "setProcessing", ...now, ...change });
  return (
    <>
      <Switch
        id="echoCancellation"
        label={t.echoCancellation}
        hint={t.echoCancellationHint}
        on={echoCancellation}
        onSwitch={(on) => {
          set({ echoCancellation: on });
        }}
      />
      <Switch
        id="noiseSuppression"
        label={t.noiseSuppression}
        hint={t.noiseSuppressionHint}
        on={noiseSuppression}
        onSwitch={(on) => {
          set({ noiseSuppression: on });
        }}
      />
      <Switch
        id="autoGain"
        label={t.autoGain}
        hint={t.autoGainHint}
        on={autoGain}
        onSwitch={(on) => {
          set({ autoGain: on });
        }}
      />
    </>
  );
}

/** How much data video may take. The page offers a few limits; the settings file takes any. */
function DataFields({ state, act }: View) {
  const { codecs } = state;
  const { videoSize, codec, maxBitrateKbps } = state.settings;
  const now = { size: videoSize, codec, maxBitrateKbps };
  const set = (change: Partial<typeof now>) =>
    void act.send({ type: "setVideoQuality", ...now, ...change });
  const limits = BITRATES.includes(maxBitrateKbps) ? BITRATES : [maxBitrateKbps, ...BITRATES];
  return (
    <>
      <div class="field">
        <label for="max-bitrate">{t.maxBitrate}</label>
        <Dropdown
          id="max-bitrate"
          value={String(maxBitrateKbps)}
          onChoose={(kbps) => {
            set({ maxBitrateKbps: Number(kbps) });
          }}
        >
          {limits.map((kbps) => (
            <option key={kbps} value={String(kbps)}>
              {t.megabytesPerHour.replace("{mb}", String(megabytesPerHour(kbps)))}
            </option>
          ))}
        </Dropdown>
      </div>
      <div class="field">
        <label for="video-size">{t.videoSize}</label>
        <Dropdown
          id="video-size"
          value={videoSize}
          onChoose={(size) => {
            set({ size });
          }}
        >
          {SIZES.map((size) => (
            <option key={size} value={size}>
              {size}
            </option>
          ))}
        </Dropdown>
      </div>
      {codecs.length > 1 && (
        <div class="field">
          <label for="codec">{t.codec}</label>
          <Dropdown
            id="codec"
            value={codec}
            onChoose={(chosen) => {
              set({ codec: chosen });
            }}
          >
            {codecs.map((name) => (
              <option key={name} value={name}>
                {t.codecs[name]}
              </option>
            ))}
          </Dropdown>
        </div>
      )}
      <p class="hint">{t.nextCall}</p>
    </>
  );
}

/** 1 kbit/s for an hour is 0.45 MB. Rounded to what people can compare. */
function megabytesPerHour(kbps: number): number {
  const megabytes = kbps * 0.45;
  return megabytes >= 100 ? Math.round(megabytes / 10) * 10 : Math.round(megabytes);
}

/** Where it rings, and how loud. */
function RingFields({ state, act }: View) {
  const { ringSpeaker, ringVolume } = state.settings;
  const between = state.screen.kind === "lobby" || state.screen.kind === "ended";
  return (
    <>
      <div class="field">
        <label for="ring-speaker">{t.ringSpeaker}</label>
        <div class="row">
          <Dropdown
            id="ring-speaker"
            value={ringSpeaker ?? ""}
            onChoose={(id) =>
              void act.send({
                type: "setRing",
                speaker: id === "" ? null : id,
                volume: ringVolume,
              })
            }
          >
            <option value="">{t.ringSpeakerDefault}</option>
            {state.devices.speakers.map(({ id, name }) => (
              <option key={id} value={id}>
                {plain(name, 80)}
              </option>
            ))}
          </Dropdown>
          <Button
            action="test-ring"
            label={t.ringTest}
            describe={t.ringTestLabel}
            disabled={!between}
            onClick={() => void act.send({ type: "testRing" })}
          />
        </div>
      </div>
      <div class="field">
        <label for="ring-volume">{t.ringVolume}</label>
        <input
          id="ring-volume"
          type="range"
          min={0}
          max={100}
          step={5}
          value={ringVolume}
          onChange={({ currentTarget }) =>
            void act.send({
              type: "setRing",
              speaker: ringSpeaker,
              volume: Number(currentTarget.value),
            })
          }
        />
      </div>
    </>
  );
}

function Keys() {
  const rows = [
    ...SHORTCUTS.map((name) => ({ name, keys: keyLabel(name) })),
    ...ZOOMS.map((name) => ({ name, keys: zoomLabel(name) })),
  ];
  return (
    <dl class="keys">
      {rows.map(({ name, keys }) => (
        <div key={name}>
          <dt>{t.shortcuts[name]}</dt>
          <dd>
            <kbd>{keys}</kbd>
          </dd>
        </div>
      ))}
    </dl>
  );
}
