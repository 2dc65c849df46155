// The menus for camera, microphone and speaker. A choice takes effect at once, also in a call.

import type { ComponentChildren } from "preact";

import type { Command, MenuDevice } from "../generated/contract";
import { words } from "../locale";
import type { View } from "../page-state";
import { plain } from "../text";
import { Button } from "./button";
import { Dropdown } from "./dropdown";
import { Icon } from "./icons";
import { Problems } from "./problems";

const t = words.devices;

type Kind = "camera" | "microphone" | "speaker";

const LISTS = { camera: "cameras", microphone: "microphones", speaker: "speakers" } as const;

/** The menu's value for the system's default, which the app calls `null`. */
const DEFAULT = "";
/** The app's id for doing without a device. */
const NONE = "none";

/**
 * The three menus. `level` adds the microphone's level meter, which the app feeds in the lobby
 * only.
 */
export function Devices({ level, ...view }: View & { level: boolean }) {
  const { state, act } = view;
  // In a call the app refuses the test; the other person can be heard there.
  const cannotTest = state.settings.speaker === NONE || state.screen.kind !== "lobby";
  return (
    <section class="devices" aria-label={t.title}>
      <DeviceMenu {...view} kind="camera" />
      <DeviceMenu {...view} kind="microphone" below={level && <LevelMeter />} />
      <DeviceMenu
        {...view}
        kind="speaker"
        beside={
          <Button
            action="test-speaker"
            label={t.test}
            describe={t.testLabel}
            disabled={cannotTest}
            onClick={() => void act.send({ type: "testSpeaker" })}
          />
        }
      />
      <Button
        action="refresh-devices"
        icon="refresh"
        label={t.refresh}
        kind="quiet"
        onClick={() => void act.send({ type: "refreshDevices" })}
      />
    </section>
  );
}

interface DeviceMenuProps extends View {
  kind: Kind;
  beside?: ComponentChildren;
  below?: ComponentChildren;
}

function DeviceMenu({ kind, beside, below, ...view }: DeviceMenuProps) {
  const { state, act } = view;
  const chosen = state.settings[kind] ?? DEFAULT;
  const list = state.devices[LISTS[kind]];
  const chosenName = plain(list.find(({ id }) => id === chosen)?.name ?? "");
  return (
    <div class="field device">
      <label for={kind}>
        <Icon name={kind} />
        <span>{t[kind]}</span>
      </label>
      <div class="row">
        <Dropdown
          id={kind}
          value={chosen}
          title={chosenName || undefined}
          onChoose={(value) => void act.send(chooseDevice(kind, value === DEFAULT ? null : value))}
        >
          <Options kind={kind} list={list} chosen={chosen} />
        </Dropdown>
        {beside}
      </div>
      {below}
      <Problems slot={kind} {...view} />
    </div>
  );
}

function chooseDevice(kind: Kind, id: string | null): Command {
  switch (kind) {
    case "camera":
      return { type: "setCamera", id };
    case "microphone":
      return { type: "setMicrophone", id };
    case "speaker":
      return { type: "setSpeaker", id };
  }
}

function Options({ kind, list, chosen }: { kind: Kind; list: MenuDevice[]; chosen: string }) {
  const known = chosen === DEFAULT || chosen === NONE || list.some(({ id }) => id === chosen);
  return (
    <>
      <option value={DEFAULT}>{t.systemDefault}</option>
      {list.map(({ id, name }) => (
        <option key={id} value={id}>
          {plain(name)}
        </option>
      ))}
      {!known && <option value={chosen}>{t.missing}</option>}
      <option value={NONE}>{t.without[kind]}</option>
    </>
  );
}

/** `showLevel` moves it many times a second, past the components. */
function LevelMeter() {
  return (
    <div
      id="level"
      class="level"
      role="meter"
      aria-label={t.level}
      aria-valuemin={0}
      aria-valuenow={0}
      aria-valuemax={100}
    >
      <div class="level-fill" />
    </div>
  );
}

/**
 * Shows how loud the microphone is, from 0 to 1. Writes to the document directly: no component
 * renders.
 */
export function showLevel(level: number): void {
  const element = document.getElementById("level");
  const percent = Math.round(Math.min(1, Math.max(0, level)) * 100);
  const text = String(Number.isFinite(percent) ? percent : 0);
  if (!element || element.getAttribute("aria-valuenow") === text) return;

  element.setAttribute("aria-valuenow", text);
  const fill = element.querySelector<HTMLElement>(".level-fill");
  fill?.style.setProperty("--level", `${text}%`);
}
