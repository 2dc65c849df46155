//! Turns arguments into peers: what each end of a call sends, plays, expects and saves.

use std::time::Duration;

use tandem_call::{CallCode, CallOptions, LinkRuntime, Profile};
use tandem_media::audio::{AudioConfig, AudioSink, AudioSource};
use tandem_media::video::VideoSpec;
use tandem_signaling::client::ClientConfig;
use tandem_trust::Party;

use super::args::CallArgs;
use super::outcome::Intent;
use super::run::PeerSetup;
use crate::values::RoomText;

/// How long to search for a partner unless `--wait` says otherwise.
const DEFAULT_WAIT: Duration = Duration::from_secs(30);

/// The only peer of this process. Its partner is another program.
pub(super) fn alone(args: &CallArgs, server: ClientConfig) -> PeerSetup {
    let speaker = args.speaker.clone().unwrap_or(AudioSink::Default);
    let mut peer = peer(
        args,
        server,
        args.video.clone(),
        args.audio.clone(),
        speaker,
    );
    peer.options.room = args.room.as_ref().map(RoomText::room);
    // Who has made an invite waits for its guest, whether or not the room is claimed.
    peer.options.room_must_exist =
        !args.invites && args.room.as_ref().is_some_and(RoomText::must_exist);
    peer.options.code = args
        .room
        .as_ref()
        .and_then(RoomText::invite)
        .map(|invite| CallCode::new(invite.code(), args.party()));
    peer.intent.needs_speaker = matches!(&args.speaker, Some(sink) if *sink != AudioSink::None);
    save_files(&mut peer, args);

    peer
}

/// Both peers of this process, in the same room. The first gets the devices and writes the files,
/// because a process opens a device only once.
pub(super) fn pair(args: &CallArgs, server: ClientConfig, room: &str) -> [PeerSetup; 2] {
    let speaker = args.speaker.clone().unwrap_or(AudioSink::None);
    let mut first = peer(
        args,
        server.clone(),
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

    let mut second = peer(args, server, video, audio, AudioSink::None);
    // The link belongs to one side, whose way up is the other's way down.
    second.options.media_runtime = None;
    first.intent.needs_speaker = matches!(&args.speaker, Some(sink) if *sink != AudioSink::None);
    expect(&mut first, second.intent);
    expect(&mut second, first.intent);
    save_files(&mut first, args);

    let invite = args.room.as_ref().and_then(RoomText::invite);
    for (peer, party) in [(&mut first, Party::Inviter), (&mut second, Party::Guest)] {
        peer.options.room = Some(room.to_owned());
        peer.options.code = invite.map(|invite| CallCode::new(invite.code(), party));
    }

    [first, second]
}

fn expect(peer: &mut PeerSetup, partner: Intent) {
    peer.intent.expects_video = partner.sends_video;
    peer.intent.expects_audio = partner.sends_audio;
}

fn peer(
    args: &CallArgs,
    server: ClientConfig,
    video: VideoSpec,
    audio: AudioSource,
    speaker: AudioSink,
) -> PeerSetup {
    let intent = Intent {
        sends_video: video != VideoSpec::None,
        sends_audio: audio != AudioSource::None,
        ..Intent::default()
    };

    let mut options = CallOptions::new(server.url.clone());
    options.signaling = server;
    options.profile = Profile {
        user_name: args.name.clone(),
        ..Profile::default()
    };

    options.video = video;
    let quality = args.video_quality();
    options.video_format = quality.format;
    options.codec = quality.codec;
    options.max_bitrate_bps = quality.max_bitrate_bps;
    options.audio = AudioConfig {
        source: audio,
        sink: speaker,
        processing: args.processing(),
        measure: true,
        ..AudioConfig::default()
    };

    options.relay_only = args.relay_only;
    if let Some(spec) = &args.simulated_link {
        options.media_runtime = Some(LinkRuntime::new(spec));
    }

    options.timeouts.partner = Some(args.wait.unwrap_or(DEFAULT_WAIT));
    if let Some(wait) = args.wait {
        options.timeouts.signaling = wait;
        options.timeouts.signaling_return = wait;
    }

    PeerSetup {
        options,
        intent,
        duration: args.duration,
        snapshot: None,
        record_video: None,
    }
}

fn save_files(peer: &mut PeerSetup, args: &CallArgs) {
    peer.snapshot.clone_from(&args.snapshot);
    peer.record_video.clone_from(&args.record_video);
    peer.options.audio.record.clone_from(&args.record_audio);
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn server() -> ClientConfig {
        ClientConfig::new("ws://127.0.0.1:1".parse().expect("an address"))
    }

    fn parsed(arguments: &[&str]) -> CallArgs {
        Cli::try_parse_from(["tandem", "--headless"].iter().chain(arguments))
            .unwrap()
            .call
    }

    #[test]
    fn the_first_of_a_pair_has_the_devices_and_the_files() {
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
        let [first, second] = pair(
            &parsed(&[&arguments[..], &files[..]].concat()),
            server(),
            "room",
        );
        assert!(
            matches!(first.options.video, VideoSpec::Camera(_)),
            "the first has the camera"
        );

        assert_eq!(
            second.options.video,
            VideoSpec::Test,
            "the second sends the test pattern"
        );

        assert_eq!(
            second.options.audio.source,
            AudioSource::Test,
            "and the test tone"
        );

        assert_eq!(
            first.options.audio.sink,
            AudioSink::Default,
            "the first plays on the speaker"
        );

        assert_eq!(
            second.options.audio.sink,
            AudioSink::None,
            "the second plays nothing"
        );

        assert!(
            first.intent.needs_speaker && !second.intent.needs_speaker,
            "only the first can fail for lack of a speaker"
        );

        assert!(
            first.snapshot.is_some() && second.snapshot.is_none(),
            "only the first saves a snapshot"
        );

        assert!(
            first.options.audio.record.is_some() && second.options.audio.record.is_none(),
            "only the first records audio"
        );
    }

    #[test]
    fn the_first_of_a_pair_has_the_link() {
        let [first, second] = pair(&parsed(&["--pair", "--link", "dsl-500k"]), server(), "room");
        assert!(
            first.options.media_runtime.is_some() && second.options.media_runtime.is_none(),
            "through two links, everything would be late twice"
        );

        let alone = alone(&parsed(&["--link", "rtt=50ms"]), server());
        assert!(alone.options.media_runtime.is_some());
    }

    #[test]
    fn each_of_a_pair_expects_what_the_other_sends() {
        let [first, second] = pair(&parsed(&["--pair", "--video", "none"]), server(), "room");
        for peer in [&first, &second] {
            assert!(
                peer.intent.expects_audio && !peer.intent.expects_video,
                "audio only, both ways"
            );
        }

        assert_eq!(
            first.options.room, second.options.room,
            "both are in one room"
        );
    }

    #[test]
    fn only_a_requested_speaker_must_work() {
        let peer = alone(&parsed(&[]), server());
        assert_eq!(
            peer.options.audio.sink,
            AudioSink::Default,
            "audio is played by default"
        );

        assert!(
            !peer.intent.needs_speaker,
            "but a machine without a speaker can hold calls too"
        );

        assert!(
            alone(&parsed(&["--speaker", "default"]), server())
                .intent
                .needs_speaker,
            "the default speaker was requested"
        );

        assert!(
            !alone(&parsed(&["--speaker", "none"]), server())
                .intent
                .needs_speaker,
            "no speaker cannot fail"
        );
    }

    #[test]
    fn a_missing_server_gets_the_wait_that_was_asked_for() {
        for (text, wait) in [("500ms", 500), ("60s", 60_000)] {
            let timeouts = alone(&parsed(&["--wait", text]), server()).options.timeouts;
            let wait = Duration::from_millis(wait);
            assert_eq!(
                (
                    timeouts.partner,
                    timeouts.signaling,
                    timeouts.signaling_return
                ),
                (Some(wait), wait, wait),
                "--wait {text}"
            );
        }

        let timeouts = alone(&parsed(&[]), server()).options.timeouts;
        assert_eq!(timeouts.partner, Some(DEFAULT_WAIT));
        assert_eq!(
            timeouts.signaling,
            Duration::from_secs(5),
            "a typing error shows soon"
        );
    }

    #[test]
    fn both_ends_of_a_pair_have_the_code_of_its_invite() {
        let room = "7-garden-lantern";
        let [first, second] = pair(&parsed(&["--pair", "--room", room]), server(), "7");
        let code = |peer: &PeerSetup| {
            peer.options
                .code
                .clone()
                .map(|code| (code.code, code.party))
        };
        let invite: crate::invite::Invite = room.parse().unwrap();
        assert_eq!(code(&first), Some((invite.code(), Party::Inviter)));
        assert_eq!(code(&second), Some((invite.code(), Party::Guest)));

        let [first, second] = pair(&parsed(&["--pair", "--room", "7"]), server(), "7");
        assert_eq!(
            (code(&first), code(&second)),
            (None, None),
            "a room of the older kind"
        );
    }

    #[test]
    fn who_invites_waits_in_the_room_and_the_guest_expects_someone_there() {
        let room = ["--room", "7-garden-lantern"];
        let guest = alone(&parsed(&room), server());
        let inviter = alone(&parsed(&[room[0], room[1], "--invite"]), server());
        assert_eq!(guest.options.room, inviter.options.room);
        assert!(guest.options.room_must_exist && !inviter.options.room_must_exist);
        let parties = [&inviter, &guest].map(|peer| peer.options.code.as_ref().unwrap().party);
        assert_eq!(parties, [Party::Inviter, Party::Guest]);

        let other = parsed(&["--room", "garden-42", "--invite"]);
        assert!(other.check().is_err(), "only an invite has an inviter");
    }
}
