//! The arguments of the command line that the window uses.

use clap::ArgMatches;

use tandem_media::codec::VideoCodec;

use super::app::Launch;
use crate::headless::args::{CallArgs, is_given};

/// What replaces the user's settings for this run. `matches` says which arguments were typed: the
/// defaults of a headless call, such as the test pattern, do not apply to the window.
///
/// # Errors
/// A sentence for the person who typed the arguments, about a file that cannot be used.
pub(super) fn read(args: &CallArgs, matches: &ArgMatches) -> Result<Launch, String> {
    let server = args.client_config()?;

    Ok(Launch {
        video: is_given(matches, "video").then(|| args.video.clone()),
        audio: is_given(matches, "audio").then(|| args.audio.clone()),
        speaker: args.speaker.clone(),
        server_url: args.signaling.clone(),
        token: server.token,
        ca_file: args.ca_file.clone(),
        roots: server.roots,
        name: args.name.clone(),
        size: args.size,
        fps: args.fps,
        codec: args.codec.map(VideoCodec::from),
        max_bitrate_bps: args.max_bitrate_bps,
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};
    use tandem_media::audio::AudioSource;
    use tandem_media::video::VideoSpec;

    use super::*;
    use crate::cli::Cli;

    fn launch(words: &[&str]) -> Launch {
        let matches = Cli::command()
            .try_get_matches_from(["tandem"].iter().chain(words))
            .unwrap();
        let args = Cli::from_arg_matches(&matches).unwrap().call;
        read(&args, &matches).unwrap()
    }

    #[test]
    fn only_typed_arguments_replace_the_settings() {
        let plain = launch(&[]);
        assert!(
            plain.video.is_none() && plain.audio.is_none(),
            "camera and microphone of the settings"
        );

        assert_eq!(
            (plain.size, plain.fps),
            (None, None),
            "those of the settings"
        );

        let typed = launch(&["--video", "test", "--audio", "none", "--size", "640x360"]);
        assert_eq!(
            (typed.video, typed.audio),
            (Some(VideoSpec::Test), Some(AudioSource::None)),
            "the typed sources"
        );
        assert_eq!(typed.size, Some((640, 360)), "the typed size");
    }
}
