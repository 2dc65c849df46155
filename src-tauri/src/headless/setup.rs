//! From arguments to peers: what each side of a call sends, plays, expects and keeps.

use tandem_call::session::{CallOptions, Profile};
use tandem_media::audio::{AudioConfig, AudioSink, AudioSource};
use tandem_media::codec::VideoCodec;
use tandem_media::video::VideoSpec;

use super::args::CallArgs;
use super::outcome::Intent;
use super::run::Peer;

/// The only peer of this process; its partner may be anybody.
pub(super) fn alone(args: &CallArgs, signaling_url: &str) -> Peer {
    let speaker = args.speaker.clone().unwrap_or(AudioSink::Default);
    let mut peer = peer(
        args,
        signaling_url,
        args.video.clone(),
        args.audio.clone(),
        speaker,
    );
    peer.options.room.clone_from(&args.room);
    peer.intent.needs_speaker = matches!(&args.speaker, Some(sink) if *sink != AudioSink::None);
    keep_files(&mut peer, args);

    peer
}

/// Both peers of this process, in a room of their own. Devices belong to the first, which also keeps the files.
pub(super) fn pair(args: &CallArgs, signaling_url: &str, room: &str) -> [Peer; 2] {
    let speaker = args.speaker.clone().unwrap_or(AudioSink::None);
    let mut first = peer(
        args,
        signaling_url,
        args.video.clone(),
        args.audio.clone(),
        speaker,
    );

    let video = match &args.video {
        VideoSpec::Camera(_) => VideoSpec::Test,
        other => other.clone(),
    };

    let audio = match &args.audio {
        AudioSource::Microphone(_) => AudioSource::Test,
        other => other.clone(),
    };

    let mut second = peer(args, signaling_url, video, audio, AudioSink::None);
    first.intent.needs_speaker = matches!(&args.speaker, Some(sink) if *sink != AudioSink::None);
    expect(&mut first, second.intent);
    expect(&mut second, first.intent);
    keep_files(&mut first, args);

    for peer in [&mut first, &mut second] {
        peer.options.room = Some(room.to_owned());
    }

    [first, second]
}

fn expect(peer: &mut Peer, partner: Intent) {
    peer.intent.expects_video = partner.sends_video;
    peer.intent.expects_audio = partner.sends_audio;
}

fn peer(
    args: &CallArgs,
    signaling_url: &str,
    video: VideoSpec,
    audio: AudioSource,
    speaker: AudioSink,
) -> Peer {
    let intent = Intent {
        sends_video: video != VideoSpec::None,
        sends_audio: audio != AudioSource::None,
        ..Intent::default()
    };

    let mut options = CallOptions::new(signaling_url);
    options.profile = Profile {
        user_name: args.name.clone(),
        ..Profile::default()
    };

    options.video = video;
    options.video_format = args.video_format();
    options.audio = AudioConfig {
        source: audio,
        sink: speaker,
        processing: args.processing(),
        measure: true,
        ..AudioConfig::default()
    };

    options.codec = args.codec.map_or(VideoCodec::H264, VideoCodec::from);
    options.max_bitrate_bps = args.max_bitrate;
    options.relay_only = args.relay_only;
    options.patience.partner = Some(args.wait);
    // A relay that is not there is told sooner than a partner who does not come.
    options.patience.relay = options.patience.relay.min(args.wait);

    Peer {
        options,
        intent,
        duration: args.duration,
        snapshot: None,
        record_video: None,
    }
}

fn keep_files(peer: &mut Peer, args: &CallArgs) {
    peer.snapshot.clone_from(&args.snapshot);
    peer.record_video.clone_from(&args.record_video);
    peer.options.audio.record.clone_from(&args.record_audio);
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    const URL: &str = "ws://127.0.0.1:1/ws";

    fn parsed(arguments: &[&str]) -> CallArgs {
        Cli::try_parse_from(["tandem", "--headless"].iter().chain(arguments))
            .unwrap()
            .call
    }

    #[test]
    fn devices_and_files_belong_to_the_first_of_a_pair() {
        let arguments = [
            "--pair",
            "--video",
            "camera",
            "--audio",
            "microphone",
            "--speaker",
            "default",
        ];

        let files = [
            "--snapshot",
            "a.png",
            "--record-audio",
            "a.wav",
            "--record-video",
            "a.y4m",
        ];
        let [first, second] = pair(&parsed(&[&arguments[..], &files[..]].concat()), URL, "room");
        assert!(
            matches!(first.options.video, VideoSpec::Camera(_)),
            "one process opens a camera once"
        );

        assert_eq!(
            second.options.video,
            VideoSpec::Test,
            "the other sends the test pattern"
        );

        assert_eq!(
            second.options.audio.source,
            AudioSource::Test,
            "and the test sound"
        );

        assert_eq!(
            first.options.audio.sink,
            AudioSink::Default,
            "the speaker that was asked for"
        );

        assert_eq!(
            second.options.audio.sink,
            AudioSink::None,
            "one of them is heard"
        );

        assert!(
            first.intent.needs_speaker && !second.intent.needs_speaker,
            "only the first can miss it"
        );

        assert!(
            first.snapshot.is_some() && second.snapshot.is_none(),
            "one of them writes the files"
        );

        assert!(
            first.options.audio.record.is_some() && second.options.audio.record.is_none(),
            "sound as well"
        );
    }

    #[test]
    fn both_of_a_pair_know_what_to_expect() {
        let [first, second] = pair(&parsed(&["--pair", "--video", "none"]), URL, "room");
        for peer in [&first, &second] {
            assert!(
                peer.intent.expects_audio && !peer.intent.expects_video,
                "sound only, both ways"
            );
        }

        assert_eq!(
            first.options.room, second.options.room,
            "they meet in one room"
        );
    }

    #[test]
    fn a_speaker_that_nobody_asked_for_may_be_missing() {
        let peer = alone(&parsed(&[]), URL);
        assert_eq!(
            peer.options.audio.sink,
            AudioSink::Default,
            "what comes is heard"
        );

        assert!(
            !peer.intent.needs_speaker,
            "but a machine without a speaker holds calls as well"
        );

        assert!(
            alone(&parsed(&["--speaker", "default"]), URL)
                .intent
                .needs_speaker,
            "it was asked for"
        );

        assert!(
            !alone(&parsed(&["--speaker", "none"]), URL)
                .intent
                .needs_speaker,
            "none cannot fail"
        );
    }

    #[test]
    fn a_missing_relay_is_told_within_the_wait() {
        let peer = alone(&parsed(&["--wait", "500ms"]), URL);
        assert_eq!(
            peer.options.patience.relay,
            std::time::Duration::from_millis(500),
            "no longer than the wait"
        );
    }
}
