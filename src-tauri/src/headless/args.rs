//! The arguments of a call, and what can be found wrong with them before the call starts.

use std::env::VarError;
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueEnum};
use tandem_link::LinkSpec;
use tandem_media::audio::{AudioSink, AudioSource, Processing};
use tandem_media::codec::VideoCodec;
use tandem_media::video::{VideoFormat, VideoInput, VideoSpec};
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{BearerToken, BearerTokenError, ClientConfig, TrustedRoots};
use tandem_trust::Party;

use crate::values::{self, RoomText};
use crate::video_quality::VideoQuality;

/// The help heading of the arguments that work only with `--headless`. It marks them: the window
/// refuses every argument that has it.
const HEADLESS_ONLY: &str = "Only with --headless";

/// The environment variable that holds a token for the signaling server.
const TOKEN_VARIABLE: &str = "TANDEM_TOKEN";

/// What the exit codes mean, for the help text.
pub const EXIT_CODES: &str = "Exit codes of a headless call:
  0  everything that each side sends arrived
  2  bad arguments
  3  no partner in time
  4  the connection failed, or something that was sent did not arrive
  5  a device failed (the call continued without it), or a file could not be written
130  stopped by a second Ctrl-C before the report was written";

/// The arguments of a call. Those under the help heading "Only with --headless" work only without a
/// window.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Call")]
pub struct CallArgs {
    /// Run both ends of a call in this process, through a signaling server of its own: the
    /// self-test and demo. Peer 0 gets the camera, microphone and speaker (peer 1 sends test
    /// signals instead), and writes the files of --snapshot, --record-video and --record-audio from
    /// what it receives
    #[arg(long, help_heading = HEADLESS_ONLY, conflicts_with_all = ["signaling", "host"])]
    pub pair: bool,
    /// The signaling server that introduces the two people, like chat.example.org or
    /// wss://chat.example.org/ws [default: ws://127.0.0.1:9000/ws]
    #[arg(long, value_name = "WS_URL", conflicts_with = "host")]
    pub signaling: Option<ServerUrl>,
    /// A file with the token that the signaling server requires. The environment variable
    /// TANDEM_TOKEN can hold the token instead. It is sent over TLS or inside private networks only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pair", "host"])]
    pub token_file: Option<PathBuf>,
    /// A PEM file with certificates of authorities to trust beside the system's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pair", "host"])]
    pub ca_file: Option<PathBuf>,
    /// Run a signaling server as well. Without an address only this machine can reach it;
    /// 0.0.0.0:9000 opens it to the network
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:9000", value_parser = listen_address)]
    pub host: Option<SocketAddr>,
    /// Call only a person who gives the same code, or the person who made this invite:
    /// 7-garden-lantern, or a link, whose server is used for this call [default: anyone who is
    /// searching]
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "CODE", value_parser = values::room_text)]
    pub room: Option<RoomText>,
    /// Wait in --room as the person who made this invite, instead of joining it as the guest
    #[arg(long = "invite", help_heading = HEADLESS_ONLY, requires = "room", conflicts_with = "pair")]
    pub invites: bool,
    /// The name that the other person sees
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub name: Option<String>,
    /// The video to send: test, camera, camera:INDEX, camera:NAME, FILE.y4m or none
    #[arg(long, value_name = "SOURCE", default_value = "test")]
    pub video: VideoSpec,
    /// The audio to send: test, microphone, microphone:NAME, FILE.wav or none
    #[arg(long, value_name = "SOURCE", default_value = "test")]
    pub audio: AudioSource,
    /// Where to play the other person's audio: default, NAME or none [default: the default speaker
    /// if there is one; none with --pair]
    #[arg(long, value_name = "SPEAKER")]
    pub speaker: Option<AudioSink>,
    /// The frame size to send. A camera uses the nearest it has, a file keeps its own [default: 1280x720]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = values::size)]
    pub size: Option<(u32, u32)>,
    /// Frames per second, 1 to 120. A camera uses the nearest it has, a file keeps its own [default: 30]
    #[arg(long, value_name = "RATE", value_parser = fps)]
    pub fps: Option<f32>,
    /// The video codec to offer first [default: h264]
    #[arg(long, value_name = "CODEC")]
    pub codec: Option<CodecArg>,
    /// The highest bitrate for video, in bits per second: 2.5M, 800k [default: 2.5M]
    #[arg(long = "max-bitrate", value_name = "BITRATE", value_parser = values::bitrate)]
    pub max_bitrate_bps: Option<u32>,
    /// Send media only through the TURN server that the signaling server offers, so that the other
    /// person never learns an address of this machine
    #[arg(long, help_heading = HEADLESS_ONLY)]
    pub relay_only: bool,
    /// Put a simulated link between this side and the network, to see how calls do on a bad one: a
    /// name, settings or both, with changes at given times, like lte-train or
    /// home-wifi,loss=5%;@10s outage=on;@12s outage=off. The names: home-wifi, busy-cafe, lte-train,
    /// dsl-500k, bufferbloat, satellite, policer-512k. docs/link.md lists the settings
    #[arg(long = "link", help_heading = HEADLESS_ONLY, value_name = "NAME|SPEC")]
    pub simulated_link: Option<LinkSpec>,
    /// Remove the speaker's echo from the microphone's audio
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "on|off", default_value = "on", value_parser = values::switch, action = clap::ArgAction::Set)]
    pub echo_cancellation: bool,
    /// Attenuate background noise in the microphone's audio
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "on|off", default_value = "on", value_parser = values::switch, action = clap::ArgAction::Set)]
    pub noise_suppression: bool,
    /// Bring speech to an even loudness
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "on|off", default_value = "on", value_parser = values::switch, action = clap::ArgAction::Set)]
    pub gain_control: bool,
    /// How long the call lasts once it is connected [default: until the other person leaves, or
    /// Ctrl-C]
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "TIME", value_parser = values::duration)]
    pub duration: Option<Duration>,
    /// Give up if no other person is found within TIME, or if the signaling server cannot be reached
    /// for TIME [default: 30s to find a person, 5s to reach the server]
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "TIME", value_parser = values::duration)]
    pub wait: Option<Duration>,
    /// Write the report as JSON to FILE, or to stdout with - [default: a table on stdout]
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "FILE|-")]
    pub report: Option<PathBuf>,
    /// Save the last received frame
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "FILE.png")]
    pub snapshot: Option<PathBuf>,
    /// Record the received video
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "FILE.y4m")]
    pub record_video: Option<PathBuf>,
    /// Record the received audio, as it is played
    #[arg(long, help_heading = HEADLESS_ONLY, value_name = "FILE.wav")]
    pub record_audio: Option<PathBuf>,
}

/// The codecs, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CodecArg {
    /// H.264 constrained baseline.
    H264,
    /// VP8.
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
    /// Finds mistakes before anything starts: flags that exclude each other, sources that cannot be
    /// read, files that cannot be written.
    ///
    /// # Errors
    /// A sentence for the person who typed the arguments: what is wrong and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        if self.relay_only && (self.pair || self.host.is_some()) {
            return Err(
                "--relay-only needs a TURN server, and the signaling server inside this program has none. Give \
                 --signaling WS_URL of a tandem-signaling that runs with --turn-url and --turn-secret"
                    .into(),
            );
        }

        if self.linked_server().is_some()
            && (self.pair || self.host.is_some() || self.signaling.is_some())
        {
            return Err(
                "--room with a link names the server: leave out --signaling, --host and --pair"
                    .into(),
            );
        }

        if self.invites && self.room.as_ref().and_then(RoomText::invite).is_none() {
            return Err("--invite needs an invite: --room 7-garden-lantern, or a link".into());
        }

        if self.pair && self.video == VideoSpec::None && self.audio == AudioSource::None {
            return Err(
                "--pair with --video none and --audio none sends nothing. Leave one of them out"
                    .into(),
            );
        }

        self.client_config()?;
        self.check_inputs()?;
        self.check_outputs()
    }

    fn check_inputs(&self) -> Result<(), String> {
        if let VideoSpec::File(path) = &self.video {
            // Opening it decodes the first frame. The call opens the file again.
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

            let is_same_file = |other: &Path| {
                fs::canonicalize(other)
                    .ok()
                    .is_some_and(|other| fs::canonicalize(path).ok() == Some(other))
            };

            if let Some((other, ..)) = given[..index]
                .iter()
                .find(|(_, other, _)| *other == path || is_same_file(other))
            {
                return Err(format!(
                    "{other} and {flag} name the same file; give each its own"
                ));
            }

            if self
                .input_files()
                .any(|input| input == path || is_same_file(input))
            {
                return Err(format!(
                    "{flag} {}: would overwrite a file that is being sent; choose another name",
                    path.display()
                ));
            }
        }

        Ok(())
    }

    fn input_files(&self) -> impl Iterator<Item = &Path> {
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

    /// Which end of the invite in `--room` this side is.
    pub fn party(&self) -> Party {
        if self.invites {
            Party::Inviter
        } else {
            Party::Guest
        }
    }

    /// The server of a link or an address in `--room`.
    fn linked_server(&self) -> Option<ServerUrl> {
        self.room.as_ref().and_then(RoomText::server)
    }

    /// The server of a link in `--room`, `--signaling` or its default. Not used with `--pair` and
    /// `--host`.
    pub fn server_url(&self) -> ServerUrl {
        self.linked_server()
            .or_else(|| self.signaling.clone())
            .unwrap_or_else(values::default_server_url)
    }

    /// The signaling server of `--signaling` or its default, with the token and the trusted
    /// certificates.
    ///
    /// # Errors
    /// A sentence for the person who typed the arguments.
    pub fn client_config(&self) -> Result<ClientConfig, String> {
        let roots = match &self.ca_file {
            None => TrustedRoots::default(),
            Some(path) => {
                TrustedRoots::with_file(path).map_err(|error| format!("--ca-file: {error}"))?
            }
        };

        // A token belongs to the user's own server, never to that of a link.
        let token = self.token()?.filter(|_| self.linked_server().is_none());
        let config = ClientConfig {
            addresses: self.room.iter().filter_map(RoomText::address).collect(),
            token,
            roots,
            ..ClientConfig::new(self.server_url())
        };

        if config.token.is_some() && self.signaling.is_some() && config.url.is_exposed() {
            return Err(format!(
                "the token would be sent to {} without encryption. Give a wss:// address",
                config.url.authority()
            ));
        }

        Ok(config)
    }

    /// The token of `--token-file`, or else of `TANDEM_TOKEN`.
    fn token(&self) -> Result<Option<BearerToken>, String> {
        if self.pair || self.host.is_some() {
            return Ok(None);
        }

        let (token, source) = match (&self.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => (BearerToken::read(path), "--token-file"),
            (None, Ok(text)) => (BearerToken::new(&text), TOKEN_VARIABLE),
            (None, Err(VarError::NotPresent)) => return Ok(None),
            (None, Err(VarError::NotUnicode(_))) => {
                (Err(BearerTokenError::BadCharacter), TOKEN_VARIABLE)
            }
        };

        token
            .map(Some)
            .map_err(|error| format!("{source}: {error}"))
    }

    /// Size, rate, codec and bitrate limit of the video to send.
    pub fn video_quality(&self) -> VideoQuality {
        let default = VideoQuality::default();
        VideoQuality {
            format: self.video_format(),
            codec: self.codec.map_or(default.codec, VideoCodec::from),
            max_bitrate_bps: self.max_bitrate_bps.unwrap_or(default.max_bitrate_bps),
        }
    }

    fn video_format(&self) -> VideoFormat {
        let default = VideoQuality::default().format;
        let (width, height) = self.size.unwrap_or((default.width, default.height));

        VideoFormat {
            width,
            height,
            fps: self.fps.unwrap_or(default.fps),
        }
    }

    /// What to do to the microphone's audio.
    pub fn processing(&self) -> Processing {
        Processing {
            echo_cancellation: self.echo_cancellation,
            noise_suppression: self.noise_suppression,
            gain_control: self.gain_control,
        }
    }
}

/// The flags that work only with `--headless`, as they are typed, in the order of the help text.
#[must_use]
pub fn headless_flags() -> Vec<String> {
    headless_only().map(|(_, flag)| flag).collect()
}

/// Those of [`headless_flags`] that were typed.
#[must_use]
pub fn given_headless_flags(matches: &ArgMatches) -> Vec<String> {
    headless_only()
        .filter(|(id, _)| is_given(matches, id))
        .map(|(_, flag)| flag)
        .collect()
}

/// Whether the argument with this id was typed, rather than left at its default.
#[must_use]
pub fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches
        .value_source(id)
        .is_some_and(|source| source != ValueSource::DefaultValue)
}

/// The id and the flag of every argument under [`HEADLESS_ONLY`].
fn headless_only() -> impl Iterator<Item = (String, String)> {
    let command = CallArgs::augment_args(Command::new("call"));
    let marked: Vec<_> = command
        .get_arguments()
        .filter(|argument| argument.get_help_heading() == Some(HEADLESS_ONLY))
        .filter_map(|argument| {
            let flag = format!("--{}", argument.get_long()?);
            Some((argument.get_id().as_str().to_owned(), flag))
        })
        .collect();

    marked.into_iter()
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "give an IP address and a port, like 127.0.0.1:9000 or 0.0.0.0:9000".into())
}

fn fps(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if (1.0..=120.0).contains(&rate) => Ok(rate),
        _ => Err("give a rate from 1 to 120 frames per second".into()),
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
                "the file is written as .{wanted}; give a name that ends in .{wanted}"
            ))
        }
        _ => Ok(()),
    }
}

/// Checks that `path` can be written, without changing what is there. Pipes and devices are not
/// opened, because that can block until there is a reader.
fn check_writable(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| {
        format!(
            "cannot be written ({error}); choose a folder that exists and that you can write to"
        )
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

            // If an empty file stays behind, the call overwrites it.
            let _ = fs::remove_file(path);
            Ok(())
        }
        Err(error) => Err(cannot(error)),
    }
}

#[cfg(test)]
mod tests;
