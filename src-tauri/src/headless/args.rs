//! The arguments of a headless call, and everything about them that can be found wrong before the call starts.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::codec::VideoCodec;
use tandem_media::video::{VideoFormat, VideoInput, VideoSpec};

use crate::values;

/// Where a relay is looked for when nothing is said.
const DEFAULT_SIGNALING: &str = "ws://127.0.0.1:9000/ws";
/// The size of pictures when nothing is said.
const DEFAULT_SIZE: (u32, u32) = (1280, 720);
/// The rate of pictures when nothing is said.
const DEFAULT_FPS: f32 = 30.0;

/// What the exit codes mean, for the help.
pub const EXIT_CODES: &str = "Exit codes of a headless call:
  0  media flowed both ways, for what each side sends
  2  bad arguments
  3  no partner in time
  4  the connection failed, or something that was sent did not arrive
  5  a device failed (the call went on with what was left)";

/// A call without a window.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Headless call")]
pub struct CallArgs {
    /// Hold both ends of a call in this process, through a relay of its own: the self-test and demo. A camera, a
    /// microphone and a speaker belong to peer 0 (peer 1 sends test signals in their place), and the files of
    /// --snapshot, --record-video and --record-audio hold what peer 0 receives
    #[arg(long, conflicts_with_all = ["signaling", "host"])]
    pub pair: bool,
    /// The relay that introduces the partners [default: ws://127.0.0.1:9000/ws]
    #[arg(long, value_name = "WS_URL", value_parser = values::signaling_url, conflicts_with = "host")]
    pub signaling: Option<String>,
    /// Be the relay too; without an address only this machine can reach it. 0.0.0.0:9000 opens it to the network
    #[arg(long, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:9000", value_parser = listen_address)]
    pub host: Option<SocketAddr>,
    /// Meet only whoever gives the same code [default: whoever is searching]
    #[arg(long, value_name = "CODE", value_parser = values::room)]
    pub room: Option<String>,
    /// The name shown to the partner
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub name: Option<String>,
    /// The picture to send: test, camera, camera:INDEX, camera:NAME, FILE.y4m or none
    #[arg(long, value_name = "SOURCE", default_value = "test")]
    pub video: VideoSpec,
    /// The sound to send: test, microphone, microphone:NAME, FILE.wav or none
    #[arg(long, value_name = "SOURCE", default_value = "test")]
    pub audio: AudioSource,
    /// Where to play the partner's sound: default, NAME or none [default: the default speaker if there is one; none
    /// with --pair]
    #[arg(long, value_name = "SPEAKER")]
    pub speaker: Option<AudioSink>,
    /// The size of pictures to send; a camera takes its nearest, a file has its own [default: 1280x720]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size)]
    pub size: Option<(u32, u32)>,
    /// Pictures a second, 1 to 120; a camera takes its nearest, a file has its own [default: 30]
    #[arg(long, value_name = "RATE", value_parser = fps)]
    pub fps: Option<f32>,
    /// The video codec to offer first [default: h264]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<CodecArg>,
    /// The most that video may take, in bits a second: 2.5M, 800k
    #[arg(long, value_name = "BITRATE", default_value = "2.5M", value_parser = values::bitrate)]
    pub max_bitrate: u32,
    /// Send media through the relay's TURN server and no other way: the partner learns no address of this machine
    #[arg(long)]
    pub relay_only: bool,
    /// Remove the speaker's sound from the microphone's
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = values::switch, action = clap::ArgAction::Set)]
    pub echo_cancellation: bool,
    /// Attenuate the background noise of the microphone
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = values::switch, action = clap::ArgAction::Set)]
    pub noise_suppression: bool,
    /// Bring the microphone's speech to an even loudness
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = values::switch, action = clap::ArgAction::Set)]
    pub gain_control: bool,
    /// How long the call lasts once it is connected [default: until the partner leaves, or Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub duration: Option<Duration>,
    /// How long to look for a partner
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    pub wait: Duration,
    /// Write the report as JSON to FILE, or to stdout with - [default: a table on stdout]
    #[arg(long, value_name = "FILE|-")]
    pub report: Option<PathBuf>,
    /// Save the last received picture
    #[arg(long, value_name = "FILE.png")]
    pub snapshot: Option<PathBuf>,
    /// Record the received pictures
    #[arg(long, value_name = "FILE.y4m")]
    pub record_video: Option<PathBuf>,
    /// Record the received sound, as it is heard
    #[arg(long, value_name = "FILE.wav")]
    pub record_audio: Option<PathBuf>,
}

/// The codecs by the names of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CodecArg {
    /// H.264 constrained baseline.
    H264,
    /// VP8, in builds with the cargo feature `vp8`.
    Vp8,
}

impl From<CodecArg> for VideoCodec {
    fn from(codec: CodecArg) -> Self {
        match codec {
            CodecArg::H264 => Self::H264,
            CodecArg::Vp8 => Self::Vp8,
        }
    }
}

impl CallArgs {
    /// Finds what makes no sense before anything is started. The error says what is wrong and what is allowed.
    ///
    /// # Errors
    /// A sentence for the person who typed the arguments.
    pub fn check(&self) -> Result<(), String> {
        if self.relay_only && (self.pair || self.host.is_some()) {
            return Err(
                "--relay-only needs a relay with a TURN server, which this program's own has not: give --signaling \
                        WS_URL of a tandem-signaling with --turn-url and --turn-secret"
                    .into(),
            );
        }

        if self.codec == Some(CodecArg::Vp8) && !cfg!(feature = "vp8") {
            return Err(
                "--codec vp8: this build has no VP8 (it needs the cargo feature \"vp8\"); use h264"
                    .into(),
            );
        }

        if self.pair && self.video == VideoSpec::None && self.audio == AudioSource::None {
            return Err("--pair with --video none and --audio none sends nothing at all; leave one of them out".into());
        }

        self.check_inputs()?;
        self.check_outputs()
    }

    fn check_inputs(&self) -> Result<(), String> {
        if let VideoSpec::File(path) = &self.video {
            // What opens and holds a whole picture can be sent; the call opens it anew.
            VideoInput::open(&self.video, self.video_format(), Arc::new(|_| {}))
                .map_err(|error| format!("--video {}: {error}", path.display()))?;
        }

        self.audio
            .check()
            .map_err(|error| format!("--audio {}: {error}", self.audio))
    }

    fn check_outputs(&self) -> Result<(), String> {
        let report = self
            .report
            .as_deref()
            .filter(|path| *path != Path::new("-"));

        let outputs = [
            ("--report", report, None),
            ("--snapshot", self.snapshot.as_deref(), Some("png")),
            ("--record-video", self.record_video.as_deref(), Some("y4m")),
            ("--record-audio", self.record_audio.as_deref(), Some("wav")),
        ];

        let given: Vec<(&str, &Path, Option<&str>)> = outputs
            .into_iter()
            .filter_map(|(flag, path, extension)| Some((flag, path?, extension)))
            .collect();

        for (index, &(flag, path, extension)) in given.iter().enumerate() {
            check_extension(path, extension)
                .and_then(|()| check_writable(path))
                .map_err(|why| format!("{flag} {}: {why}", path.display()))?;
            let same = |other: &Path| {
                fs::canonicalize(other)
                    .ok()
                    .is_some_and(|other| fs::canonicalize(path).ok() == Some(other))
            };

            if let Some((other, ..)) = given[..index]
                .iter()
                .find(|(_, other, _)| *other == path || same(other))
            {
                return Err(format!(
                    "{other} and {flag} name the same file; give each its own"
                ));
            }

            if self.inputs().any(|input| input == path || same(input)) {
                return Err(format!(
                    "{flag} {}: would overwrite what is sent; choose another file",
                    path.display()
                ));
            }
        }

        Ok(())
    }

    fn inputs(&self) -> impl Iterator<Item = &Path> {
        let video = if let VideoSpec::File(path) = &self.video {
            Some(path.as_path())
        } else {
            None
        };

        let audio = if let AudioSource::File(path) = &self.audio {
            Some(path.as_path())
        } else {
            None
        };

        video.into_iter().chain(audio)
    }

    /// The address of the relay unless this process is the relay.
    pub fn signaling_url(&self) -> &str {
        self.signaling.as_deref().unwrap_or(DEFAULT_SIGNALING)
    }

    /// The pictures that are wanted from the source.
    pub fn video_format(&self) -> VideoFormat {
        let (width, height) = self.size.unwrap_or(DEFAULT_SIZE);
        VideoFormat {
            width,
            height,
            fps: self.fps.unwrap_or(DEFAULT_FPS),
        }
    }

    /// What is done to a microphone's sound.
    pub fn processing(&self) -> Processing {
        Processing {
            echo_cancellation: self.echo_cancellation,
            noise_suppression: self.noise_suppression,
            gain_control: self.gain_control,
        }
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give an IP address and a port, like 127.0.0.1:9000 or 0.0.0.0:9000".into())
}

fn fps(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if (1.0..=120.0).contains(&rate) => Ok(rate),
        _ => Err("give a rate from 1 to 120 pictures a second".into()),
    }
}

fn check_extension(path: &Path, extension: Option<&str>) -> Result<(), String> {
    match extension {
        Some(wanted)
            if !path
                .extension()
                .is_some_and(|found| found.eq_ignore_ascii_case(wanted)) =>
        {
            Err(format!(
                "the file is written as .{wanted}; give a name that ends so"
            ))
        }
        _ => Ok(()),
    }
}

/// Whether `path` can be written, without changing what is there. Pipes and devices are not tried: opening them may
/// wait for a reader.
fn check_writable(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| {
        format!("cannot be written ({error}); choose a folder that exists and is yours")
    };

    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err("is a folder; give the name of a file".into()),
        Ok(found) if found.is_file() => OpenOptions::new()
            .append(true)
            .open(path)
            .map(drop)
            .map_err(cannot),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)
                .map_err(cannot)?;
            // An empty file left behind would do no harm; the call will write this one.
            let _ = fs::remove_file(path);
            Ok(())
        }
        Err(error) => Err(cannot(error)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn parsed(arguments: &[&str]) -> Result<CallArgs, String> {
        let all = ["tandem", "--headless"].iter().chain(arguments);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        cli.call.check().map(|()| cli.call)
    }

    #[test]
    fn the_defaults_are_a_720p_test_call() {
        let args = parsed(&[]).unwrap();
        assert_eq!(
            args.video_format(),
            VideoFormat {
                width: 1280,
                height: 720,
                fps: 30.0
            },
            "720p30"
        );

        assert_eq!(
            (args.video.clone(), args.audio.clone()),
            (VideoSpec::Test, AudioSource::Test),
            "test signals"
        );

        assert_eq!(
            args.signaling_url(),
            "ws://127.0.0.1:9000/ws",
            "the relay of this machine"
        );

        assert_eq!(
            (args.wait, args.duration),
            (Duration::from_secs(30), None),
            "30 s to find a partner, then no limit"
        );
        assert_eq!(args.max_bitrate, 2_500_000, "2.5 Mbit/s");
        assert_eq!(
            args.processing(),
            Processing::default(),
            "all processing is on"
        );
    }

    #[test]
    fn every_flag_of_the_contract_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let arguments = [
            "--signaling",
            "ws://relay.example:9000",
            "--room",
            "blue-7",
            "--name",
            "Ada",
            "--video",
            "camera:1",
            "--audio",
            "microphone:Headset",
            "--speaker",
            "none",
            "--size",
            "640x480",
            "--fps",
            "25",
            "--codec",
            "h264",
            "--max-bitrate",
            "800k",
            "--duration",
            "10s",
            "--wait",
            "1m",
            "--report",
            "-",
            "--snapshot",
            &file("a.png"),
            "--record-video",
            &file("a.y4m"),
            "--record-audio",
            &file("a.wav"),
            "--log-level",
            "debug",
            "--echo-cancellation",
            "off",
            "--noise-suppression",
            "off",
            "--gain-control",
            "off",
        ];
        let args = parsed(&arguments).unwrap();

        assert_eq!(
            args.signaling_url(),
            "ws://relay.example:9000/ws",
            "the path is added"
        );
        assert_eq!(args.processing(), Processing::OFF, "each switch works");
        assert_eq!(
            args.speaker,
            Some(AudioSink::None),
            "no speaker was asked for"
        );

        assert_eq!(
            args.codec.map(VideoCodec::from),
            Some(VideoCodec::H264),
            "the codec is chosen"
        );

        assert!(
            !folder.path().join("a.png").exists(),
            "checking a path leaves nothing behind"
        );
    }

    #[test]
    fn host_needs_no_address() {
        assert_eq!(
            parsed(&["--host"]).unwrap().host,
            "127.0.0.1:9000".parse().ok(),
            "this machine only"
        );

        let given = parsed(&["--host", "0.0.0.0:0", "--room", "a"]).unwrap();
        assert_eq!(
            given.host,
            "0.0.0.0:0".parse().ok(),
            "the address that was given"
        );
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wrong() {
        let cases: [(&[&str], &str); 17] = [
            (&["--host", "--signaling", "ws://a"], "--signaling"),
            (&["--pair", "--signaling", "ws://a"], "--signaling"),
            (&["--pair", "--host"], "--host"),
            (&["--host", "nowhere"], "127.0.0.1:9000"),
            (&["--size", "641x480"], "even"),
            (&["--size", "0x0"], "1280x720"),
            (&["--size", "8000x8000"], "3840x2160"),
            (&["--fps", "0"], "1 to 120"),
            (&["--fps", "NaN"], "1 to 120"),
            (&["--video", "clip.mp4"], ".y4m"),
            (&["--video", "missing.y4m"], "FILE_UNREADABLE"),
            (&["--audio", "missing.wav"], "FILE_UNREADABLE"),
            (&["--audio", "song.mp3"], "FILE.wav"),
            (&["--pair", "--video", "none", "--audio", "none"], "nothing"),
            (&["--pair", "--relay-only"], "TURN"),
            (&["--duration", "10"], "unit"),
            (&["--echo-cancellation", "maybe"], "on or off"),
        ];

        for (arguments, expected) in cases {
            let error = parsed(arguments).expect_err("nonsense");
            assert!(
                error.contains(expected),
                "{arguments:?} must be refused with {expected:?}: {error}"
            );
        }
    }

    #[test]
    fn corrupt_files_are_found_before_the_call() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("a.y4m");
        fs::write(&video, b"YUV4MPEG2 W16 H16 F30:1\nFRAME\nshort").unwrap();
        let audio = folder.path().join("a.wav");
        fs::write(&audio, b"RIFF????WAVEnonsense").unwrap();
        let error = parsed(&["--video", video.to_str().unwrap()]).unwrap_err();

        assert!(
            error.contains("FILE_BAD_FORMAT"),
            "a truncated first picture: {error}"
        );

        let error = parsed(&["--audio", audio.to_str().unwrap()]).unwrap_err();
        assert!(error.contains("FILE_"), "no sound in it: {error}");
    }

    #[test]
    fn unwritable_outputs_are_found_before_the_call() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let folder_name = at("");
        let cases: [(&[&str], &str); 6] = [
            (
                &["--report", &at("missing/report.json")],
                "cannot be written",
            ),
            (&["--report", &folder_name], "is a folder"),
            (&["--snapshot", &at("picture.jpg")], ".png"),
            (&["--record-video", &at("video.mkv")], ".y4m"),
            (
                &["--record-audio", &at("missing/a.wav")],
                "cannot be written",
            ),
            (
                &["--report", &at("a.png"), "--snapshot", &at("a.png")],
                "same file",
            ),
        ];

        for (arguments, expected) in cases {
            let error = parsed(arguments).expect_err("not writable");
            assert!(
                error.contains(expected),
                "{arguments:?} must be refused with {expected:?}: {error}"
            );
        }
    }

    #[test]
    fn a_file_that_is_there_is_kept_until_the_call_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, "old").unwrap();
        parsed(&["--report", path.to_str().unwrap()]).unwrap();

        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "old",
            "checking does not truncate"
        );
    }
}
