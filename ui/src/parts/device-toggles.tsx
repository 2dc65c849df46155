// The buttons that mute the microphone and switch the camera, before a call.

import { words } from "../locale";
import type { View } from "../page-state";
import { Button } from "./button";

const t = words.call;

export function DeviceToggles({ state, act }: View) {
  const { muted, cameraEnabled: on } = state.settings;
  return (
    <div class="device-toggles">
      <Button
        action="mute"
        icon={muted ? "microphoneOff" : "microphone"}
        label={muted ? t.unmuteLabel : t.muteLabel}
        iconOnly
        kind="control"
        off={muted}
        onClick={() => void act.send({ type: "setMuted", muted: !muted })}
      />
      <Button
        action="camera"
        icon={on ? "camera" : "cameraOff"}
        label={on ? t.stopVideoLabel : t.startVideoLabel}
        iconOnly
        kind="control"
        off={!on}
        onClick={() => void act.send({ type: "setCameraOn", on: !on })}
      />
    </div>
  );
}
