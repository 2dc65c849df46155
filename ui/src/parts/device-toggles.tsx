// The buttons that mute the microphone and switch the camera, in a call and before.

import { words } from "../locale";
import type { Actions, View } from "../page-state";
import { togglesOf } from "../toggles";
import { Button } from "./button";

const t = words.call;

interface DeviceButtonsProps {
  muted: boolean;
  cameraOn: boolean;
  iconOnly?: boolean;
  /** The keys M and V do the same. */
  keys: boolean;
  act: Actions;
}

export function DeviceButtons({
  muted,
  cameraOn,
  iconOnly = false,
  keys,
  act,
}: DeviceButtonsProps) {
  return (
    <>
      <Button
        action="mute"
        icon={muted ? "microphoneOff" : "microphone"}
        label={muted ? t.unmute : t.mute}
        describe={muted ? t.unmuteLabel : t.muteLabel}
        keys={keys ? "mute" : undefined}
        iconOnly={iconOnly}
        kind="control"
        off={muted}
        onClick={() => void act.send({ type: "setMuted", muted: !muted })}
      />
      <Button
        action="camera"
        icon={cameraOn ? "camera" : "cameraOff"}
        label={cameraOn ? t.stopVideo : t.startVideo}
        keys={keys ? "camera" : undefined}
        iconOnly={iconOnly}
        kind="control"
        off={!cameraOn}
        onClick={() => void act.send({ type: "setCameraOn", on: !cameraOn })}
      />
    </>
  );
}

/** As they are before a call: what is chosen here is remembered. */
export function DeviceToggles({ state, act }: View) {
  const { muted, cameraOn } = togglesOf(state);
  const { singleKeyShortcuts: keys } = state.settings;
  return (
    <div class="device-toggles">
      <DeviceButtons muted={muted} cameraOn={cameraOn} iconOnly keys={keys} act={act} />
    </div>
  );
}
