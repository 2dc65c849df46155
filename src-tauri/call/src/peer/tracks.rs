//! The media of one peer connection as the library has it: a transceiver for each kind, and the
//! tracks that this side sends.

use std::sync::Arc;

use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodecParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::peer_connection::PeerConnection;
use webrtc::rtp_transceiver::RtpTransceiver;

use super::config::PeerConfig;
use super::error::{PeerError, could_not};
use super::formats::{self, Format, MediaKind};
use super::negotiation::Negotiated;
use super::track::LocalTrack;
use super::workarounds::follow_answer;

/// At most one transceiver for each kind of media.
pub(super) struct Tracks {
    connection: Arc<dyn PeerConnection>,
    /// Whether this side may send.
    send_audio: bool,
    send_video: bool,
    /// Those of audio and video.
    ssrcs: [u32; 2],
    pub(super) audio: Option<LocalTrack>,
    pub(super) video: Option<LocalTrack>,
    /// What the video track is made for.
    video_format: Option<Format>,
    /// Those of audio and video, once they are in use.
    transceivers: [Option<Arc<dyn RtpTransceiver>>; 2],
}

impl Tracks {
    /// None yet. `ssrcs` are for audio and video.
    pub(super) fn new(
        connection: &Arc<dyn PeerConnection>,
        config: &PeerConfig,
        ssrcs: [u32; 2],
    ) -> Self {
        Self {
            connection: Arc::clone(connection),
            send_audio: config.send_audio,
            send_video: config.send_video,
            ssrcs,
            audio: None,
            video: None,
            video_format: None,
            transceivers: [None, None],
        }
    }

    /// The kinds of media that this side can send.
    pub(super) fn sent(&self) -> Vec<MediaKind> {
        let audio = self.audio.as_ref().map(|_| MediaKind::Audio);
        let video = self.video.as_ref().map(|_| MediaKind::Video);
        audio.into_iter().chain(video).collect()
    }

    /// Adds a transceiver for each kind of media that is new in the call.
    pub(super) async fn add_agreed(&mut self, agreed: &Negotiated) -> Result<(), PeerError> {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            if let Some(format) = agreed.formats(kind).first()
                && self.transceivers[kind as usize].is_none()
            {
                self.add(kind, &[format.own()]).await?;
            }
        }

        Ok(())
    }

    /// Makes the video track one of the format that is to be sent.
    pub(super) async fn follow(&mut self, agreed: &Negotiated) -> Result<(), PeerError> {
        let (Some(local), Some(chosen)) = (&self.video, agreed.video.first()) else {
            return Ok(());
        };

        let is_same = |format: &Format| format.is_same(chosen);
        if self.video_format.as_ref().is_some_and(is_same) {
            return Ok(());
        }

        follow_answer(&*self.connection, local, &chosen.own())
            .await
            .map_err(could_not("change the codec"))?;
        self.video_format = Some(chosen.clone());
        Ok(())
    }

    /// Adds a transceiver for `kind` that offers `formats`, which is not empty; its track sends the
    /// first of them.
    pub(super) async fn add(
        &mut self,
        kind: MediaKind,
        formats: &[Format],
    ) -> Result<(), PeerError> {
        let (rtc_kind, send) = match kind {
            MediaKind::Audio => (RtpCodecKind::Audio, self.send_audio),
            MediaKind::Video => (RtpCodecKind::Video, self.send_video),
        };

        if !send {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..RTCRtpTransceiverInit::default()
            };

            let transceiver = self
                .connection
                .add_transceiver_from_kind(rtc_kind, Some(init))
                .await
                .map_err(could_not("add a transceiver"))?;
            self.transceivers[kind as usize] = Some(transceiver);
            return Ok(());
        }

        let local = LocalTrack::new(rtc_kind, &formats[0], self.ssrcs[kind as usize]);
        let track: Arc<dyn TrackLocal> = Arc::clone(&local.track) as _;
        let sender = self
            .connection
            .add_track(track)
            .await
            .map_err(could_not("add a track"))?;

        for transceiver in self.connection.get_transceivers().await {
            let other = transceiver.sender().await.ok().flatten();
            if other.is_some_and(|other| other.id() == sender.id()) {
                self.transceivers[kind as usize] = Some(transceiver);
            }
        }

        // A transceiver only offers the codec of its track unless it is given the others.
        if kind == MediaKind::Video {
            let media = formats.iter().map(Format::to_rtc);
            let repair = formats.iter().filter_map(formats::retransmissions);
            self.set_codecs(kind, media.chain(repair).collect()).await?;
        }

        match kind {
            MediaKind::Audio => self.audio = Some(local),
            MediaKind::Video => {
                self.video = Some(local);
                self.video_format = formats.first().cloned();
            }
        }

        Ok(())
    }

    /// Sets which payload types the packets of this kind carry, in both directions.
    ///
    /// # Errors
    /// [`PeerError::Connection`].
    pub(super) async fn set_codecs(
        &self,
        kind: MediaKind,
        codecs: Vec<RTCRtpCodecParameters>,
    ) -> Result<(), PeerError> {
        let Some(transceiver) = &self.transceivers[kind as usize] else {
            return Ok(());
        };

        transceiver
            .set_codec_preferences(codecs)
            .await
            .map_err(could_not("set its codec preferences"))
    }
}
