//! The figures of a connection to one partner: what it is now, and what the connections before it were
//! where it has agreed on nothing yet.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tandem_media::audio::AudioEngine;
use tandem_media::codec::VideoCodec;

use super::PartnerConnection;
use crate::peer::{Codec, Format, MediaKind, Peer, Refused, Route};
use crate::session::history::History;
use crate::session::limit::limited;
use crate::session::stats::{CallStats, VideoReceived, VideoSent};

/// What the two sides have agreed on, as a report says it.
#[derive(Debug, Clone, Copy, Default)]
struct Agreed {
    refused: Refused,
    video_codec: Option<&'static str>,
    audio_codec: Option<&'static str>,
    /// There is a format for video in either direction.
    has_video: bool,
}

impl Agreed {
    /// `None` before the two have agreed.
    fn on(peer: &Peer) -> Option<Self> {
        if !peer.has_agreed() {
            return None;
        }

        let negotiated = peer.negotiated();
        let video = negotiated.video.first().and_then(Format::video);
        let audio = negotiated.audio.first();
        Some(Self {
            refused: peer.refused(),
            video_codec: video.map(|codec| match codec {
                VideoCodec::H264 => "H264",
                VideoCodec::Vp8 => "VP8",
            }),
            audio_codec: audio
                .filter(|format| format.codec == Codec::Opus)
                .map(|_| "opus"),
            has_video: !negotiated.video.is_empty(),
        })
    }
}

/// What the call was before the present connection.
#[derive(Default)]
pub(super) struct Earlier {
    agreed: Option<Agreed>,
    /// Written when the connection before is asked for it, which may take a while.
    route: Arc<Mutex<Option<Route>>>,
}

impl Earlier {
    /// `before` is about to be replaced. One that was never answered has nothing to say.
    pub(super) fn on_replaced(&mut self, before: &Peer) {
        self.agreed = Agreed::on(before).or(self.agreed);
    }
}

impl PartnerConnection {
    /// Asks the present connection for its route, for a report that is made before there is another one,
    /// and then closes it. It may hang, and what is left of it matters no more.
    pub(in crate::session) fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        let (route, known) = (self.peer.route(), Arc::clone(&self.earlier.route));
        let closing = self.peer.closing();
        async move {
            if let Some(route) = limited("name its route", route).await.flatten() {
                *known.lock() = Some(route);
            }

            limited("close", closing).await;
        }
    }

    /// Shows no more frames, so that no report has fewer than were shown.
    pub(in crate::session) fn stop_showing(&self) {
        self.incoming.video.lock().end();
    }

    /// Collects the figures of the connection, the media and the audio engine.
    pub(in crate::session) async fn stats(
        &self,
        now: Instant,
        engine: Option<&AudioEngine>,
    ) -> CallStats {
        let agreed = Agreed::on(&self.peer).or(self.earlier.agreed);
        let agreed = agreed.unwrap_or_default();
        let repair = self.repair_before.plus(self.peer.link().repair());
        let mut audio = engine.map(AudioEngine::stats).unwrap_or_default();
        let sent = self.peer.sent_of(MediaKind::Audio);
        (audio.sent_packets, audio.sent_bytes) = (sent.packets, sent.bytes);
        let state = self.remote_state.reported();
        let (received, lip_sync_ms_p95) = {
            let recorder = self.incoming.video.lock();
            let received = recorder.stats(state.camera_on.then_some(now));
            (received, recorder.lip_sync_ms_p95())
        };

        // A partner that reports its camera or microphone as off may have negotiated a stream
        // without sending any.
        let video_sends = state.camera_on || received.packets > 0;
        let audio_sends = !state.muted || audio.jitter.packets > 0;
        let route = limited("name its route", self.peer.route()).await.flatten();

        CallStats {
            session_id: Some(self.matched.session_id.as_str().to_owned()),
            initiator: Some(self.matched.initiator),
            refused: agreed.refused,
            video_codec: agreed.video_codec,
            audio_codec: agreed.audio_codec,
            video_sent: self.video_sent(!agreed.has_video),
            video_received: (self.incoming.tracks.has(MediaKind::Video) && video_sends).then_some(
                VideoReceived {
                    recovered: repair.recovered,
                    nacks: repair.nacks_sent,
                    ..received
                },
            ),
            audio_received: self.incoming.tracks.has(MediaKind::Audio) && audio_sends,
            audio,
            lip_sync_ms_p95,
            route: route.or_else(|| self.earlier.route.lock().clone()),
            quality: self.history.as_ref().and_then(History::quality),
            bitrate: self
                .history
                .as_ref()
                .map(|history| history.samples().to_vec())
                .unwrap_or_default(),
        }
    }

    /// What has been sent of the video. `None` if there was none to send: `is_rejected`, and nothing
    /// went before. What did not get to the socket was not sent, such as frames that are made while ICE looks
    /// for a route.
    fn video_sent(&self, is_rejected: bool) -> Option<VideoSent> {
        let output = self.video_output.as_ref()?;
        let sent = self.peer.sent_of(MediaKind::Video);
        match sent.packets {
            0 if is_rejected => None,
            0 => Some(VideoSent::default()),
            _ => {
                let made = output.recorder.lock().stats();
                Some(VideoSent {
                    frames: sent.frames,
                    keyframes: made.keyframes.min(sent.frames),
                    bytes: sent.bytes,
                    ..made
                })
            }
        }
    }
}
