"""A partner that is built on aiortc: an implementation of WebRTC that shares no code with Tandem's
or a browser's. It has no trickle ICE, so its candidates are inside its descriptions.

Arguments: the signaling server's URL, the room, the video codec (`h264`, `vp8`), the plan (see
`PLANS`) and the seconds that the call lasts. Prints one JSON object when the call is over.
"""

import asyncio
import json
import sys

from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.sdp import candidate_from_sdp
from websockets.asyncio.client import connect

# What a partner does beside sending and receiving both kinds of media.
PLANS = ("both", "listen", "sound", "later", "hold")


class Partner:
    def __init__(self, room, codec, plan):
        self.room = room
        self.codec = codec
        self.plan = plan
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.received = {"audio": 0, "video": 0}
        self.tasks = []
        self.connected = asyncio.Event()
        self.answered = asyncio.Event()
        self.held = None
        self.resumed = None
        self.partner = None
        self.early = []
        self.connection.on("track", self.on_track)
        self.connection.on("connectionstatechange", self.on_state)

    def on_track(self, track):
        self.tasks.append(asyncio.ensure_future(self.count(track)))

    def on_state(self):
        if self.connection.connectionState == "connected":
            self.connected.set()

    async def count(self, track):
        try:
            while True:
                await track.recv()
                self.received[track.kind] += 1
        except Exception:  # The track ends with the connection.
            return

    def add_media(self):
        """Before an offer, or after the partner's."""
        if self.plan == "listen":
            if not self.connection.getTransceivers():
                self.connection.addTransceiver("audio", direction="recvonly")
                self.connection.addTransceiver("video", direction="recvonly")
        else:
            self.connection.addTrack(AudioStreamTrack())
            if self.plan not in ("sound", "later"):
                self.connection.addTrack(VideoStreamTrack())

        self.prefer_codec()

    def prefer_codec(self):
        capabilities = RTCRtpReceiver.getCapabilities("video").codecs
        wanted = [
            codec
            for codec in capabilities
            if codec.mimeType.lower() == "video/" + self.codec
        ]
        for transceiver in self.connection.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences(wanted)

    async def send(self, message):
        await self.socket.send(json.dumps(message))

    async def describe(self, kind):
        description = self.connection.localDescription
        await self.send(
            {
                "type": "webrtc_" + kind,
                "to": self.partner,
                kind: {"type": description.type, "sdp": description.sdp},
            }
        )

    async def offer(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.describe("offer")

    async def add_candidate(self, candidate):
        if not candidate or not candidate.get("candidate"):
            return
        if self.connection.remoteDescription is None:
            self.early.append(candidate)
            return
        parsed = candidate_from_sdp(candidate["candidate"].split(":", 1)[1])
        # It belongs to the transport that all sections share.
        parsed.sdpMid = self.connection.getTransceivers()[0].mid
        await self.connection.addIceCandidate(parsed)

    async def apply(self, description):
        parsed = RTCSessionDescription(
            sdp=description["sdp"], type=description["type"]
        )
        await self.connection.setRemoteDescription(parsed)
        early, self.early = self.early, []
        for candidate in early:
            await self.add_candidate(candidate)

    async def on_message(self, message):
        kind = message["type"]
        if kind == "searching":
            print("searching", flush=True)
        elif kind == "partner_found":
            self.partner = message["socketId"]
            self.session = message["sessionId"]
            if message["initiator"]:
                self.add_media()
                await self.offer()
        elif kind == "webrtc_offer":
            await self.apply(message["offer"])
            self.add_media()
            answer = await self.connection.createAnswer()
            await self.connection.setLocalDescription(answer)
            await self.describe("answer")
        elif kind == "webrtc_answer":
            await self.apply(message["answer"])
            self.answered.set()
        elif kind == "ice_candidate":
            await self.add_candidate(message["candidate"])

    async def renegotiate(self, direction):
        self.answered.clear()
        for transceiver in self.connection.getTransceivers():
            transceiver.direction = direction
        await self.offer()
        await self.answered.wait()

    async def add_video(self):
        """Calls with sound alone, and switches the camera on after a while."""
        await asyncio.sleep(2)
        self.connection.addTrack(VideoStreamTrack())
        self.prefer_codec()
        self.answered.clear()
        await self.offer()
        await self.answered.wait()

    async def packets(self):
        """RTP packets that have arrived."""
        counts = {"audio": 0, "video": 0}
        for transceiver in self.connection.getTransceivers():
            for stats in (await transceiver.receiver.getStats()).values():
                if stats.type == "inbound-rtp":
                    counts[transceiver.kind] += stats.packetsReceived
        return counts

    async def hold(self):
        """Receives nothing for a while, and then again."""
        await asyncio.sleep(2)
        await self.renegotiate("inactive")
        await asyncio.sleep(0.5)
        before = await self.packets()
        await asyncio.sleep(1.5)
        during = await self.packets()
        await self.renegotiate("sendrecv")
        again = await self.packets()
        await asyncio.sleep(3)
        after = await self.packets()
        self.held = {kind: during[kind] - before[kind] for kind in before}
        self.resumed = {kind: after[kind] - again[kind] for kind in again}

    async def run(self, url, seconds):
        async with connect(url) as self.socket:
            await self.send({"type": "find_partner", "room": self.room})
            async def listen():
                async for text in self.socket:
                    await self.on_message(json.loads(text))

            listening = asyncio.ensure_future(listen())
            await asyncio.wait_for(self.connected.wait(), 60)
            if self.plan == "later":
                await self.add_video()
            if self.plan == "hold":
                await self.hold()
            else:
                await asyncio.sleep(seconds)
            await self.send({"type": "end_session", "sessionId": self.session})
            listening.cancel()
        await self.connection.close()


async def main():
    url, room, codec, plan, seconds = sys.argv[1:]
    assert plan in PLANS, plan
    partner = Partner(room, codec, plan)
    await partner.run(url, float(seconds))
    report = {"received": partner.received, "held": partner.held, "resumed": partner.resumed}
    print(json.dumps(report))


asyncio.run(main())
