// The peer connection of a call: the local tracks go out, the partner's come in, once the partner has
// shown that they know the invite's words.

import { type CheckedCall, CodeCheck, type Verdict } from "./code-check";
import type { PeerState } from "./machine";
import type { MediaState } from "./media";
import { Negotiation } from "./negotiation";
import type { Signal } from "./protocol";
import { arrived, RouteWatch, SAMPLE_MS } from "./route-watch";
import { CHANNEL, type DeviceState, parseState, stateMessage } from "./state-channel";

export interface PeerEvents {
  /** To be sent to the partner. */
  signal: (signal: Signal) => void;
  state: (state: PeerState) => void;
  partnerState: (state: DeviceState) => void;
  /** Nothing has arrived from the partner for a while, or something has again. */
  route: (news: "silent" | "heard") => void;
  /** Whether the partner knows the invite's words. `connected` comes only afterwards. */
  verdict: (verdict: Verdict) => void;
  /** All that the partner had sent has been looked at: after `finishCheck`. */
  checkFinished: () => void;
}

/** The local tracks, and what the user has switched off. */
export type Sent = Pick<MediaState, "camera" | "microphone" | "muted" | "cameraOn">;

/** The name of a description's side in ICE, which changes with each restart. */
const iceUser = (sdp: string) => /^a=ice-ufrag:(.*)$/mu.exec(sdp)?.[1];

export class Peer {
  /** The partner's tracks, at most one of each kind; none before the partner is verified. */
  readonly remote = new MediaStream();

  readonly #connection: RTCPeerConnection;
  readonly #negotiation: Negotiation;
  readonly #senders: Partial<Record<"audio" | "video", RTCRtpSender>> = {};
  readonly #check: CodeCheck;
  readonly #events: PeerEvents;
  /** What came before the partner was verified. */
  readonly #held: MediaStreamTrack[] = [];
  /** What the partner has reported of its devices by then. */
  #heldState: DeviceState | null = null;
  /** The verdict that has been told. */
  #verdict: Verdict | null = null;
  #channel: RTCDataChannel | null = null;
  #sent: Sent;
  #isClosed = false;
  /** Servers with fresh credentials, for the next route. */
  #freshServers: RTCIceServer[] | null = null;
  readonly #route = new RouteWatch();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(call: CheckedCall, iceServers: RTCIceServer[], sent: Sent, events: PeerEvents) {
    const { initiator } = call;
    const connection = new RTCPeerConnection({ iceServers });
    this.#connection = connection;
    this.#sent = sent;
    this.#events = events;
    this.#check = new CodeCheck(call);
    const guarded =
      <T>(tell: (value: T) => void) =>
      (value: T) => {
        if (!this.#isClosed) tell(value);
      };
    const changed = guarded(events.state);
    const signal = guarded(events.signal);
    this.#negotiation = new Negotiation({
      peer: connection,
      polite: !initiator,
      send: signal,
      onFirstOffer: () => this.#sendOnOffered(),
      onFault: () => {
        changed("broken");
      },
      check: this.#check,
      onChecked: () => {
        this.#checked();
      },
    });

    connection.addEventListener("negotiationneeded", () => void this.#negotiation.offer());
    connection.addEventListener("icecandidate", ({ candidate }) => {
      signal({ kind: "candidate", candidate: candidate?.toJSON() ?? null });
    });
    connection.addEventListener("connectionstatechange", () => {
      const { connectionState: state } = connection;
      if (state === "connected") this.#watchRoute(guarded(events.route));
      if (state === "connected" && this.#verdict !== "verified") return;
      if (state === "connected" || state === "disconnected" || state === "failed") changed(state);
    });
    connection.addEventListener("track", ({ track }) => {
      this.#receive(track);
    });
    connection.addEventListener("datachannel", ({ channel }) => {
      this.#use(channel, guarded(events.partnerState));
    });

    if (initiator) {
      this.#use(connection.createDataChannel(CHANNEL), guarded(events.partnerState));
      this.#sendOnNew();
    }
  }

  /** Whether the two have a format for video in common: known once they have negotiated. */
  get sharesVideo(): boolean {
    return this.#connection.getTransceivers().some(({ receiver, currentDirection }) => {
      const isVideo = receiver.track.kind === "video";
      return isVideo && currentDirection !== null && /send|recv/u.test(currentDirection);
    });
  }

  /** Whether the partner could try words, and is not known to have had the right ones. */
  get spentAGuess(): boolean {
    return this.#check.spentAGuess;
  }

  /** The time for the check is over. */
  codeTimedOut(): void {
    const move = this.#check.timedOut();
    if (move) this.#events.signal({ kind: "pake", pake: move.pake });
    this.#checked();
  }

  /** The partner sends nothing more, but its last move may still wait for its turn. */
  async finishCheck(): Promise<void> {
    await this.#negotiation.idle();
    if (!this.#isClosed) this.#events.checkFinished();
  }

  /** Looks for the next route with these servers. Until then nothing changes. */
  useServers(iceServers: RTCIceServer[]): void {
    this.#freshServers = iceServers;
  }

  receive(signal: Signal): void {
    if (signal.kind === "description" && this.#looksForRoute(signal.description))
      this.#applyServers();
    void this.#negotiation.receive(signal);
  }

  /** Looks for another route to the partner. `again`: an offer that is on its way will do. */
  restart(again: boolean): void {
    // Until an offer that was lost on the way is answered, no other can be made. One without candidates
    // is as good as another.
    const isWaiting = this.#negotiation.repeatOffer();
    if (isWaiting && again) return;
    this.#applyServers();
    if (!isWaiting || !this.#negotiation.holdsOffer) this.#connection.restartIce();
  }

  /** Whether the partner's offer makes both sides look for another route. */
  #looksForRoute({ type, sdp }: RTCSessionDescriptionInit): boolean {
    const before = this.#connection.currentRemoteDescription?.sdp;
    return type === "offer" && before !== undefined && iceUser(before) !== iceUser(sdp ?? "");
  }

  #applyServers(): void {
    const iceServers = this.#freshServers;
    this.#freshServers = null;
    if (!iceServers || this.#isClosed) return;
    try {
      this.#connection.setConfiguration({ ...this.#connection.getConfiguration(), iceServers });
    } catch {
      // The server has named one that this browser doesn't take: the older ones stay.
    }
  }

  /** The local tracks have changed, or are switched off or on. */
  update(sent: Sent): void {
    const before = this.#sent;
    this.#sent = sent;
    if (before.camera !== sent.camera) this.#replace("video");
    if (before.microphone !== sent.microphone) this.#replace("audio");
    this.#report();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#connection.close();
  }

  /** Tells what the check has found out, and lets media pass once the partner is verified. */
  #checked(): void {
    const { verdict } = this.#check;
    if (this.#isClosed || verdict === this.#verdict || verdict === null) return;
    this.#verdict = verdict;
    if (verdict === "verified") {
      this.#replace("audio");
      this.#replace("video");
      for (const track of this.#held.splice(0)) this.#receive(track);
      this.#report();
    }
    this.#events.verdict(verdict);
    if (verdict === "verified" && this.#heldState) this.#events.partnerState(this.#heldState);
    const isUp = this.#connection.connectionState === "connected";
    if (verdict === "verified" && isUp) this.#events.state("connected");
  }

  #watchRoute(notify: PeerEvents["route"]): void {
    this.#timer ??= setInterval(() => {
      const sample = (stats: RTCStatsReport) => {
        const news = this.#route.sample(performance.now(), arrived(stats));
        if (news) notify(news);
      };
      // Fails only if the connection is closed.
      this.#connection.getStats().then(sample, () => undefined);
    }, SAMPLE_MS);
  }

  /**
   * Offers both kinds, also without a device: one that is switched on later needs no new
   * negotiation.
   */
  #sendOnNew(): void {
    const stream = new MediaStream();
    for (const kind of ["audio", "video"] as const) {
      const init: RTCRtpTransceiverInit = { direction: "sendrecv", streams: [stream] };
      const { sender } = this.#connection.addTransceiver(kind, init);
      this.#senders[kind] = sender;
    }
  }

  /** Sends on what the partner has offered to receive. */
  async #sendOnOffered(): Promise<void> {
    for (const transceiver of this.#connection.getTransceivers()) {
      const kind = transceiver.receiver.track.kind as "audio" | "video";
      if (this.#senders[kind]) continue;
      this.#senders[kind] = transceiver.sender;
      transceiver.direction = "sendrecv";
      await transceiver.sender.replaceTrack(this.#track(kind));
    }
  }

  /** What may be sent of a kind. */
  #track(kind: "audio" | "video"): MediaStreamTrack | null {
    if (this.#verdict !== "verified") return null;
    return kind === "video" ? this.#sent.camera : this.#sent.microphone;
  }

  #replace(kind: "audio" | "video"): void {
    // Fails only if the connection is closed.
    this.#senders[kind]?.replaceTrack(this.#track(kind)).catch(() => undefined);
  }

  #receive(track: MediaStreamTrack): void {
    if (this.#verdict !== "verified") {
      this.#held.push(track);
      return;
    }
    const sameKind = this.remote.getTracks().some(({ kind }) => kind === track.kind);
    if (!sameKind) this.remote.addTrack(track);
  }

  #use(channel: RTCDataChannel, tell: (state: DeviceState) => void): void {
    if (channel.label !== CHANNEL || this.#channel) {
      channel.close();
      return;
    }
    this.#channel = channel;
    channel.addEventListener("open", () => {
      this.#report();
    });
    channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      const state = parseState(data);
      // The partner may know earlier than this side that both have the words.
      if (this.#verdict !== "verified") this.#heldState = state ?? this.#heldState;
      else if (state) tell(state);
    });
  }

  #report(): void {
    if (this.#channel?.readyState !== "open" || this.#verdict !== "verified") return;
    const { camera, microphone, muted, cameraOn } = this.#sent;
    const state = {
      muted: muted || !microphone,
      camera: cameraOn && camera !== null && this.sharesVideo,
    };
    this.#channel.send(stateMessage(state));
  }
}
