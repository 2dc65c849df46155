// A browser as one end of a call: finds its partner through the signaling server as Tandem does,
// and counts what it receives.

import { age, read, track } from "./pattern.js";

/** What the driver sees of the call. Values are set once or only grow. */
const state = { searching: false, initiator: null, matchedAt: null, firstFrameAt: null, connected: false, partnerLeft: null, errors: [] };
const seen = { frames: 0, coded: 0, latencies: [], disorder: 0, width: 0, height: 0 };
let peer = null;

/** Prefers the requested codec. The others stay on the list for a partner that lacks it. */
function prefer(transceiver, codec) {
  const known = RTCRtpReceiver.getCapabilities("video").codecs;
  const wanted = known.filter((entry) => entry.mimeType.toLowerCase() === `video/${codec}`);
  transceiver.setCodecPreferences([...wanted, ...known.filter((entry) => !wanted.includes(entry))]);
}

async function localStream({ source, width, height, fps }) {
  const wantsCamera = source === "camera";
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    video: wantsCamera && { width, height, frameRate: fps },
  });
  if (!wantsCamera) stream.addTrack(track(width, height, fps));
  return stream;
}

/** Counts the frames that are shown: all that a browser without `MediaStreamTrackProcessor` can do. */
async function count(videoTrack) {
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = new MediaStream([videoTrack]);
  document.body.append(video);
  const next = () => {
    state.firstFrameAt ??= performance.now();
    seen.frames += 1;
    [seen.width, seen.height] = [video.videoWidth, video.videoHeight];
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  await video.play();
}

/** Takes every decoded frame off the track, counts it, and reads its code if it has one. */
async function watch(videoTrack) {
  const reader = new MediaStreamTrackProcessor({ track: videoTrack, maxBufferSize: 3 }).readable.getReader();
  let last = null;
  for (;;) {
    const { done, value: frame } = await reader.read();
    if (done) return;
    const now = Date.now();
    state.firstFrameAt ??= performance.now();
    seen.frames += 1;
    [seen.width, seen.height] = [frame.displayWidth, frame.displayHeight];
    const code = await read(frame);
    frame.close();
    if (code === null) continue;
    seen.coded += 1;
    seen.latencies.push(age(code.timeMs, now));
    if (last !== null && ((code.counter - last) & 0xffff) - 1 >= 0x7fff) seen.disorder += 1;
    last = code.counter;
  }
}

/** Candidates that only a hostile partner sends. */
const BROKEN_CANDIDATES = [
  { candidate: "candidate:nonsense", sdpMid: "0", sdpMLineIndex: 0 },
  { candidate: "x".repeat(30_000), sdpMid: "0" },
  { candidate: "candidate:1 1 udp 2130706431 999.0.0.1 70000 typ host", sdpMid: "9", sdpMLineIndex: 9 },
  { candidate: 7 },
  "text",
  {},
];

/** One call, from the server's welcome until the partner leaves. */
class Call {
  constructor(options, stream) {
    Object.assign(this, { options, stream, partner: null, early: [] });
    this.socket = new WebSocket(options.signaling);
    this.queue = Promise.resolve();
    // Handle messages one after the other, so that no ICE candidate overtakes its offer.
    this.socket.onmessage = ({ data }) => {
      this.queue = this.queue.then(() => this.receive(JSON.parse(data))).catch((error) => state.errors.push(String(error)));
    };
    this.socket.onclose = ({ code }) => code === 1000 || state.errors.push(`the server closed the connection with ${code}`);
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  async receive(message) {
    switch (message.type) {
      case "user_registered":
        this.iceServers = message.iceServers ?? [];
        return this.send({ type: "find_partner", userName: this.options.name, room: this.options.room });
      case "searching":
        state.searching = true;
        return undefined;
      case "partner_found":
        return this.meet(message);
      case "webrtc_offer":
        return this.answer(message.offer);
      case "webrtc_answer":
        await peer.setRemoteDescription(message.answer);
        return this.addEarly();
      case "ice_candidate":
        // Null marks the end of the candidates and needs no action.
        if (!message.candidate) return undefined;
        if (!peer.remoteDescription) return this.early.push(message.candidate);
        return peer.addIceCandidate(message.candidate);
      case "partner_left":
        state.partnerLeft = message.reason;
        return undefined;
      case "error":
        state.errors.push(`${message.code}: ${message.message}`);
        return undefined;
      default:
        return undefined;
    }
  }

  async meet({ socketId, sessionId, initiator, userName }) {
    Object.assign(this, { partner: socketId, sessionId });
    Object.assign(state, { initiator, matchedAt: performance.now(), partnerName: userName });
    peer = new RTCPeerConnection({ iceServers: this.iceServers });
    peer.onicecandidate = ({ candidate }) =>
      this.send({ type: "ice_candidate", to: socketId, candidate: candidate ? candidate.toJSON() : null });
    if (this.options.candidates === "broken") {
      for (const candidate of BROKEN_CANDIDATES) this.send({ type: "ice_candidate", to: socketId, candidate });
    }
    peer.onconnectionstatechange = () => {
      state.connected ||= peer.connectionState === "connected";
    };
    peer.ontrack = (event) => {
      if (event.track.kind === "video") (window.MediaStreamTrackProcessor ? watch : count)(event.track).catch((error) => state.errors.push(String(error)));
      // Audio is decoded only if an element plays it.
      else document.getElementById("ear").srcObject = new MediaStream([event.track]);
    };
    if (!initiator) return;
    this.addTracks();
    await peer.setLocalDescription();
    this.send({ type: "webrtc_offer", to: socketId, offer: peer.localDescription.toJSON() });
  }

  addTracks() {
    for (const mediaTrack of this.stream.getTracks()) {
      const isLayered = Number(this.options.layers) > 1 && mediaTrack.kind === "video" && peer.remoteDescription === null;
      const sender = isLayered ? addLayers(mediaTrack, this.stream) : peer.addTrack(mediaTrack, this.stream);
      // Send fewer frames rather than smaller ones, because tests compare the size.
      sender.setParameters({ ...sender.getParameters(), degradationPreference: "maintain-resolution" });
    }
    for (const transceiver of peer.getTransceivers()) {
      if (transceiver.receiver.track.kind === "video") prefer(transceiver, this.options.codec);
    }
  }

  async answer(offer) {
    // Only the peer that is not the initiator receives offers. It is the polite peer: if both sides
    // offer, its own offer is rolled back here.
    const isFirst = peer.remoteDescription === null;
    await peer.setRemoteDescription(offer);
    if (isFirst) this.addTracks();
    await this.addEarly();
    await peer.setLocalDescription();
    this.send({ type: "webrtc_answer", to: this.partner, answer: peer.localDescription.toJSON() });
  }

  async addEarly() {
    for (const candidate of this.early.splice(0)) await peer.addIceCandidate(candidate);
  }

  end() {
    this.send({ type: "end_session", sessionId: this.sessionId });
    this.send({ type: "bye" });
    peer?.close();
    this.socket.close(1000);
  }
}

/** Offers a track in two sizes at once, for a server that would choose. */
function addLayers(mediaTrack, stream) {
  const sendEncodings = [{ rid: "whole" }, { rid: "half", scaleResolutionDownBy: 2 }];
  return peer.addTransceiver(mediaTrack, { streams: [stream], sendEncodings }).sender;
}

/** The `getStats` figures that the tests use. */
async function stats() {
  const report = await peer.getStats();
  const find = (type, kind) => [...report.values()].find((entry) => entry.type === type && entry.kind === kind) ?? {};
  const codec = (entry) => report.get(entry.codecId)?.mimeType ?? null;
  const [video, audio] = [find("inbound-rtp", "video"), find("inbound-rtp", "audio")];
  const [videoOut, audioOut] = [find("outbound-rtp", "video"), find("outbound-rtp", "audio")];
  return {
    videoReceived: {
      codec: codec(video),
      frames: video.framesDecoded ?? 0,
      freezes: video.freezeCount ?? 0,
      packets: video.packetsReceived ?? 0,
      lost: video.packetsLost ?? 0,
      width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
    },
    videoSent: { codec: codec(videoOut), frames: videoOut.framesEncoded ?? 0, plis: videoOut.pliCount ?? 0, nacks: videoOut.nackCount ?? 0, packets: videoOut.packetsSent ?? 0, resent: videoOut.retransmittedPacketsSent ?? 0, bytes: videoOut.bytesSent ?? 0, keyframes: videoOut.keyFramesEncoded ?? 0, rtt: find("remote-inbound-rtp", "video").roundTripTime ?? null, limit: videoOut.qualityLimitationReason },
    audioReceived: {
      codec: codec(audio),
      packets: audio.packetsReceived ?? 0,
      samples: audio.totalSamplesReceived ?? 0,
      concealed: audio.concealedSamples ?? 0,
      energy: audio.totalAudioEnergy ?? 0,
    },
    audioSent: { codec: codec(audioOut), packets: audioOut.packetsSent ?? 0 },
  };
}

let call = null;

/** The functions that the driver calls. */
window.tandem = {
  async start(options) {
    call = new Call(options, await localStream(options));
  },
  /** The state and figures so far. Latencies cover only the frames since the last snapshot. */
  async snapshot() {
    const latencies = seen.latencies.splice(0);
    const at = performance.now();
    return { ...state, seen: { ...seen, latencies }, at, stats: peer && state.connected ? await stats() : null };
  },
  end() {
    call?.end();
  },
};
