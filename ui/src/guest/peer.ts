// The peer connection of a call: the local tracks go out, the partner's come in, once the partner has
// shown that they know the invite's words.

import { type CheckedCall, CodeCheck, type Verdict } from "./code-check";
import type { PeerState } from "./call-events";
import type { MediaState } from "./media";
import { Negotiation } from "./negotiation";
import type { Signal } from "./protocol";
import { arrived, RouteWatch, SAMPLE_MS } from "./route-watch";
import { CHANNEL, type DeviceState, parseState, stateMessage } from "./state-channel";
import { FreshConnections } from "./fresh-connections";

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
  remote = new MediaStream();

  #connection: RTCPeerConnection;
  #negotiation: Negotiation;
  #senders: Partial<Record<"audio" | "video", RTCRtpSender>> = {};
  readonly #polite: boolean;
  readonly #certificate: RTCCertificate | null;
  readonly #fresh = new FreshConnections();
  /** The tracks in `remote` are those of the connection before. */
  #isStale = false;
  /** What this side last described itself with: every later description is compared with that. */
  #described: string | undefined = undefined;
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
  #servers: RTCIceServer[];
  /** Servers with fresh credentials, for the next route. */
  #freshServers: RTCIceServer[] | null = null;
  readonly #route = new RouteWatch();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** `certificate`: for all connections of the call. Without one, there is only the first one. */
  constructor(
    call: CheckedCall,
    iceServers: RTCIceServer[],
    certificate: RTCCertificate | null,
    sent: Sent,
    events: PeerEvents,
  ) {
    const { initiator } = call;
    this.#certificate = certificate;
    this.#servers = iceServers;
    this.#sent = sent;
    this.#events = events;
    this.#check = new CodeCheck(call);
    this.#polite = !initiator;
    [this.#connection, this.#negotiation] = this.#begin(undefined);

    if (initiator) {
      this.#use(this.#connection.createDataChannel(CHANNEL), this.#connection);
      this.#sendOnNew();
    }
  }

  /** A peer connection. `before`: this side's description on the one whose place it takes. */
  #begin(before: string | undefined): [RTCPeerConnection, Negotiation] {
    const certificates = this.#certificate ? { certificates: [this.#certificate] } : {};
    const connection = new RTCPeerConnection({ iceServers: this.#servers, ...certificates });
    const isPresent = () => !this.#isClosed && this.#connection === connection;
    const changed = (state: PeerState) => {
      if (isPresent()) this.#events.state(state);
    };
    const negotiation = new Negotiation({
      peer: connection,
      polite: this.#polite,
      send: (signal) => {
        // Of the check, every move counts.
        if (isPresent() || (signal.kind === "pake" && !this.#isClosed)) this.#signal(signal);
      },
      onFirstOffer: () => this.#sendOnOffered(),
      onFault: () => {
        changed("broken");
      },
      before,
      check: this.#check,
      onChecked: () => {
        this.#checked();
      },
    });

    connection.addEventListener("negotiationneeded", () => {
      if (isPresent()) void negotiation.offer();
    });
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (isPresent()) this.#signal({ kind: "candidate", candidate: candidate?.toJSON() ?? null });
    });
    connection.addEventListener("connectionstatechange", () => {
      const { connectionState: state } = connection;
      if (state === "connected" && isPresent()) this.#watchRoute();
      if (state === "connected" && this.#verdict !== "verified") return;
      if (state === "connected" || state === "disconnected" || state === "failed") changed(state);
    });
    connection.addEventListener("track", ({ track }) => {
      if (isPresent()) this.#receive(track);
    });
    connection.addEventListener("datachannel", ({ channel }) => {
      if (isPresent()) this.#use(channel, connection);
    });
    return [connection, negotiation];
  }

  /** Tells the partner which connection a signal belongs to. */
  #signal(signal: Signal): void {
    const connection = this.#fresh.number;
    const isNumbered =
      signal.kind === "description" || (signal.kind === "candidate" && connection > 0);
    this.#events.signal(isNumbered && this.#certificate ? { ...signal, connection } : signal);
  }

  /** Puts a fresh connection into the place of one that the partner cannot use any more. */
  #renew(): void {
    const old = this.#connection;
    // One that has not answered yet has no description of its own.
    this.#described = old.localDescription?.sdp ?? this.#described;
    this.#servers = this.#freshServers ?? this.#servers;
    this.#freshServers = null;
    this.#senders = {};
    this.#channel = null;
    this.#held.length = 0;
    this.#isStale = true;
    [this.#connection, this.#negotiation] = this.#begin(this.#described);
    old.close();
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
    if (signal.kind !== "pake") {
      const isOffer = signal.kind === "description" && signal.description.type === "offer";
      const number = this.#certificate ? signal.connection : 0;
      const place = this.#fresh.place(number, isOffer, performance.now());
      if (place === "tooMany") this.#events.state("broken");
      if (place === "fresh") this.#renew();
      else if (place !== "present") return;
    }
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
    this.#servers = iceServers ?? this.#servers;
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

  #watchRoute(): void {
    this.#timer ??= setInterval(() => {
      const sample = (stats: RTCStatsReport) => {
        const news = this.#route.sample(performance.now(), arrived(stats));
        if (news && !this.#isClosed) this.#events.route(news);
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
    // The page shows it with the next change of state.
    if (this.#isStale) this.remote = new MediaStream();
    this.#isStale = false;
    const sameKind = this.remote.getTracks().some(({ kind }) => kind === track.kind);
    if (!sameKind) this.remote.addTrack(track);
  }

  #use(channel: RTCDataChannel, connection: RTCPeerConnection): void {
    if (channel.label !== CHANNEL || this.#channel) {
      channel.close();
      return;
    }
    this.#channel = channel;
    channel.addEventListener("open", () => {
      this.#report();
    });
    channel.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (this.#isClosed || this.#connection !== connection) return;
      const state = parseState(data);
      // The partner may know earlier than this side that both have the words.
      if (this.#verdict !== "verified") this.#heldState = state ?? this.#heldState;
      else if (state) this.#events.partnerState(state);
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
