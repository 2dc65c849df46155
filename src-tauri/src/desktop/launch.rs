//! The arguments of a headless call that make sense for the window, too.

use clap::ArgMatches;
use clap::parser::ValueSource;
use tandem_media::codec::VideoCodec;

use super::app::Launch;
use super::shell::Media;
use crate::headless::args::CallArgs;

/// What only a call without a window understands, by the names that clap gives the arguments.
const HEADLESS_ONLY: [&str; 14] = [
    "pair",
    "host",
    "room",
    "relay_only",
    "echo_cancellation",
    "noise_suppression",
    "gain_control",
    "duration",
    "wait",
    "report",
    "snapshot",
    "record_video",
    "record_audio",
    "headless",
];

/// The arguments that were typed and mean nothing to the window, as they are written.
#[must_use]
pub fn refused_arguments(matches: &ArgMatches) -> Vec<String> {
    let typed = HEADLESS_ONLY.into_iter().filter(|id| is_typed(matches, id));
    typed
        .map(|id| format!("--{}", id.replace('_', "-")))
        .collect()
}

/// What stands in place of the user's own choices, and how pictures are sent.
pub(super) fn read(args: &CallArgs, matches: &ArgMatches) -> (Launch, Media) {
    let launch = Launch {
        video: is_typed(matches, "video").then(|| args.video.clone()),
        audio: is_typed(matches, "audio").then(|| args.audio.clone()),
        speaker: args.speaker.clone(),
        relay_url: args.signaling.clone(),
        name: args.name.clone(),
    };

    let media = Media {
        format: args.video_format(),
        codec: args.codec.map_or(VideoCodec::H264, VideoCodec::from),
        max_bitrate_bps: args.max_bitrate,
    };

    (launch, media)
}

fn is_typed(matches: &ArgMatches, id: &str) -> bool {
    matches
        .value_source(id)
        .is_some_and(|source| source != ValueSource::DefaultValue)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};
    use tandem_media::audio::AudioSource;
    use tandem_media::video::VideoSpec;

    use super::*;
    use crate::cli::Cli;

    fn matches(words: &[&str]) -> ArgMatches {
        Cli::command()
            .try_get_matches_from(["tandem"].iter().chain(words))
            .unwrap()
    }

    #[test]
    fn only_what_was_typed_takes_the_place_of_a_choice() {
        let plain = matches(&[]);
        let args = Cli::from_arg_matches(&plain).unwrap().call;
        let (launch, media) = read(&args, &plain);

        assert!(
            launch.video.is_none() && launch.audio.is_none(),
            "the window has a camera and a microphone"
        );

        assert_eq!(
            (media.format.width, media.format.height),
            (1280, 720),
            "and sends 720p"
        );

        let typed = matches(&["--video", "test", "--audio", "none", "--size", "640x360"]);
        let args = Cli::from_arg_matches(&typed).unwrap().call;
        let (launch, media) = read(&args, &typed);

        assert_eq!(
            (launch.video, launch.audio),
            (Some(VideoSpec::Test), Some(AudioSource::None)),
            "as typed"
        );
        assert_eq!(media.format.width, 640, "as typed");
    }

    #[test]
    fn what_needs_a_headless_call_is_named() {
        assert!(
            refused_arguments(&matches(&["--video", "test", "--name", "Ann"])).is_empty(),
            "the window knows these"
        );

        let refused = refused_arguments(&matches(&["--room", "x", "--record-audio", "a.wav"]));
        assert_eq!(refused, ["--room", "--record-audio"], "and not these");
        let known = Cli::command();

        for id in HEADLESS_ONLY {
            assert!(
                known
                    .get_arguments()
                    .any(|argument| argument.get_id() == id),
                "{id} is an argument"
            );
        }
    }
}
