// What several screens of the guest page are made of.

import type { ComponentChildren } from "preact";

import { words } from "../locale";
import type { Words } from "../locale/errors.en";
import { Button } from "../parts/button";
import { Dropdown } from "../parts/dropdown";
import { Icon, Mark } from "../parts/icons";
import { plain } from "../text";
import { type DeviceProblem, isOff, type Kind, type MediaState } from "./media";
import type { GuestView } from "./view";

const t = words.guest;

interface CentredProps {
  /** The screen's name, as tests know it. */
  name: string;
  children: ComponentChildren;
}

/** A screen with one thing in its middle. */
export function Centred({ name, children }: CentredProps) {
  return (
    <main data-screen={name} class="screen calm">
      <header class="bar">
        <div class="brand">
          <Mark />
          <span>{words.appName}</span>
        </div>
      </header>
      <div class="center">{children}</div>
    </main>
  );
}

export function Problem({ name, what, todo }: Words & { name: string }) {
  return (
    <div class="problem" role="alert" data-problem={name}>
      <Icon name="warning" />
      <div class="problem-words">
        <p class="problem-what">{what}</p>
        {todo !== undefined && <p class="problem-todo">{todo}</p>}
      </div>
    </div>
  );
}

/** The words about a device; a fault without words of its own counts as in use. */
function deviceWords(kind: Kind, problem: DeviceProblem): Words {
  return t[kind][problem === "failed" ? "inUse" : problem];
}

/** What is wrong with the devices: one card if it is the same for both. */
export function DeviceProblems({ problems }: Pick<MediaState, "problems">) {
  const { camera, microphone } = problems;
  if (camera === undefined && microphone === undefined) return null;
  if (camera === microphone && (camera === "denied" || camera === "missing")) {
    return (
      <div class="problems">
        <Problem name={`devices-${camera}`} {...t.both[camera]} />
      </div>
    );
  }
  return (
    <div class="problems">
      {camera && <Problem name={`camera-${camera}`} {...deviceWords("camera", camera)} />}
      {microphone && (
        <Problem name={`microphone-${microphone}`} {...deviceWords("microphone", microphone)} />
      )}
    </div>
  );
}

type TogglesProps = Pick<GuestView, "media" | "act"> & { iconOnly: boolean };

/** A device that can't be used counts as off: pressing its button tries it again. */
export function DeviceToggles({ media, act, iconOnly }: TogglesProps) {
  const muted = isOff("microphone", media);
  const cameraOff = isOff("camera", media);
  const c = words.call;
  return (
    <>
      <Button
        action="mute"
        icon={muted ? "microphoneOff" : "microphone"}
        label={muted ? c.unmute : c.mute}
        describe={muted ? c.unmuteLabel : c.muteLabel}
        iconOnly={iconOnly}
        kind="control"
        off={muted}
        onClick={() => {
          act.setMuted(!muted);
        }}
      />
      <Button
        action="camera"
        icon={cameraOff ? "cameraOff" : "camera"}
        label={cameraOff ? c.startVideo : c.stopVideo}
        iconOnly={iconOnly}
        kind="control"
        off={cameraOff}
        onClick={() => {
          act.setCameraOn(cameraOff);
        }}
      />
    </>
  );
}

/** The menus of the devices that there are. */
export function DeviceMenus({ media, act, canChooseSpeaker }: GuestView) {
  const kinds = ["camera", "microphone", "speaker"] as const;
  const shown = kinds.filter(
    (kind) => media.devices[kind].length > 0 && (kind !== "speaker" || canChooseSpeaker),
  );
  return (
    <div class="device-menus">
      {shown.map((kind) => (
        <div class="field" key={kind}>
          <label for={kind}>
            <Icon name={kind} />
            <span>{words.devices[kind]}</span>
          </label>
          <Dropdown
            id={kind}
            value={media.chosen[kind]}
            onChoose={(id) => {
              act.choose(kind, id);
            }}
          >
            <option value="">{words.devices.systemDefault}</option>
            {media.devices[kind].map(({ id, name }) => (
              <option key={id} value={id}>
                {plain(name) || words.devices[kind]}
              </option>
            ))}
          </Dropdown>
        </div>
      ))}
    </div>
  );
}
