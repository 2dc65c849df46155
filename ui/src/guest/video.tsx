// The video elements: the local camera, and the other person with their sound.

import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { words } from "../locale";

/** The local camera, mirrored as in a mirror. */
export function LocalVideo({ track, label }: { track: MediaStreamTrack; label?: string }) {
  const video = useRef<HTMLVideoElement>(null);
  useLayoutEffect(() => {
    if (video.current) video.current.srcObject = new MediaStream([track]);
  }, [track]);
  return (
    <video
      id="local"
      ref={video}
      class="mirrored"
      autoplay
      playsinline
      muted
      {...(label === undefined ? { "aria-hidden": true } : { "aria-label": label })}
    />
  );
}

interface RemoteVideoProps {
  stream: MediaStream | null;
  /** Their camera is off: the last frame is not shown. */
  hidden: boolean;
  label: string;
  /** The id of the speaker; empty for the default. */
  speaker: string;
  onBlocked: () => void;
}

/** The other person's video and sound. It shows from the first frame on. */
export function RemoteVideo({ stream, hidden, label, speaker, onBlocked }: RemoteVideoProps) {
  const video = useRef<HTMLVideoElement>(null);
  const [live, setLive] = useState(false);

  useLayoutEffect(() => {
    const element = video.current;
    if (!element || !stream) return;
    element.srcObject = stream;
    element.play().catch((error: unknown) => {
      if (error instanceof Error && error.name === "NotAllowedError") onBlocked();
    });
  }, [stream]);

  useLayoutEffect(() => {
    const element = video.current;
    // An unplugged speaker is none: the browser then uses the default one.
    if (element && "setSinkId" in element) element.setSinkId(speaker).catch(() => undefined);
  }, [speaker]);

  const isLive = () => {
    setLive((video.current?.videoWidth ?? 0) > 0);
  };
  return (
    <video
      id="remote"
      ref={video}
      autoplay
      playsinline
      aria-label={label}
      data-live={live && !hidden ? "" : undefined}
      onLoadedData={isLive}
      onResize={isLive}
    />
  );
}

/** The words of the local video. */
export const localLabel = words.lobby.previewLabel;
