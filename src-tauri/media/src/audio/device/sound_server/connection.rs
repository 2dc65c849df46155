//! A connection to the sound server, in PulseAudio's protocol, which PipeWire speaks as well.

use std::ffi::CStr;
use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, CommandReply, MAX_VERSION, Prop, Props, ProtocolError,
    ServerInfo, SetClientNameReply, SinkInfo, SinkInfoList, SourceInfo, SourceInfoList,
    SubscriptionMask,
};

use super::{Card, ServerDevice};
use crate::audio::device::Direction;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The sink that PulseAudio and PipeWire make up when the machine has no speaker.
const NO_SPEAKER: &str = "auto_null";

/// Why the server does not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// No socket of a sound server, or the server is on another machine.
    #[error("there is no sound server on this machine")]
    Absent,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

type Result<T> = std::result::Result<T, ConnectionError>;

/// A connection on which one question is asked at a time, or, once subscribed, events are awaited.
#[derive(Debug)]
pub(super) struct Connection {
    socket: BufReader<UnixStream>,
    version: u16,
    /// Number of the next command.
    sequence: u32,
}

impl Connection {
    /// Connects to the server that ALSA's plug-in connects to.
    pub(super) fn open() -> Result<Self> {
        let path = socket_path().ok_or(ConnectionError::Absent)?;
        let socket = UnixStream::connect(path).map_err(|error| match error.kind() {
            // A server that has ended may leave its socket behind.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ConnectionError::Absent,
            _ => error.into(),
        })?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let mut connection = Self {
            socket: BufReader::new(socket),
            version: MAX_VERSION,
            sequence: 0,
        };

        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let reply: AuthReply = connection.ask(&Command::Auth(AuthParams {
            version: MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie: cookie.unwrap_or_default(),
        }))?;
        connection.version = reply.version.min(MAX_VERSION);

        let mut properties = Props::new();
        properties.set(Prop::ApplicationName, c"Tandem");
        let _: SetClientNameReply = connection.ask(&Command::SetClientName(properties))?;

        Ok(connection)
    }

    /// The devices of one direction, without those that only play back what others play.
    pub(super) fn devices(&mut self, direction: Direction) -> Result<Vec<ServerDevice>> {
        let server: ServerInfo = self.ask(&Command::GetServerInfo)?;
        let (default, devices): (_, Vec<_>) = match direction {
            Direction::Playback => {
                let sinks: SinkInfoList = self.ask(&Command::GetSinkInfoList)?;
                let devices = sinks.iter().filter_map(speaker).collect();
                (server.default_sink_name, devices)
            }
            Direction::Capture => {
                let sources: SourceInfoList = self.ask(&Command::GetSourceInfoList)?;
                let devices = sources.iter().filter_map(microphone).collect();
                (server.default_source_name, devices)
            }
        };

        let default = default.as_deref().and_then(text);
        Ok(devices
            .into_iter()
            .map(|device| ServerDevice {
                default: Some(&device.name) == default.as_ref(),
                ..device
            })
            .collect())
    }

    /// Lets the server report changes of its devices. Afterwards the connection answers no more
    /// questions.
    pub(super) fn subscribe(&mut self) -> Result<()> {
        let changes = SubscriptionMask::SINK | SubscriptionMask::SOURCE | SubscriptionMask::SERVER;
        self.send(&Command::Subscribe(changes))?;
        protocol::read_ack_message(&mut self.socket)?;
        self.socket.get_ref().set_read_timeout(None)?;

        Ok(())
    }

    /// Another handle of the socket, with which another thread can end a wait for events.
    pub(super) fn socket(&self) -> Result<UnixStream> {
        Ok(self.socket.get_ref().try_clone()?)
    }

    /// Waits for an event.
    pub(super) fn wait_for_event(&mut self) -> Result<()> {
        // What changed is not asked: one list answers for all the events that come together.
        protocol::read_command_message(&mut self.socket, self.version)?;
        Ok(())
    }

    /// Takes the events that have arrived in the meantime.
    pub(super) fn take_events(&mut self) -> Result<()> {
        loop {
            self.socket.get_ref().set_nonblocking(true)?;
            let arrived = self.socket.fill_buf().map(|bytes| !bytes.is_empty());
            self.socket.get_ref().set_nonblocking(false)?;

            match arrived {
                Ok(true) => self.wait_for_event()?,
                Ok(false) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn ask<R: CommandReply>(&mut self, command: &Command) -> Result<R> {
        self.send(command)?;
        let (_, reply) = protocol::read_reply_message(&mut self.socket, self.version)?;
        Ok(reply)
    }

    fn send(&mut self, command: &Command) -> Result<()> {
        protocol::write_command_message(
            self.socket.get_mut(),
            self.sequence,
            command,
            self.version,
        )?;
        self.sequence += 1;
        Ok(())
    }
}

/// The server's socket. A server on another machine, which ALSA's plug-in would reach, has none.
fn socket_path() -> Option<PathBuf> {
    let is_elsewhere = std::env::var("PULSE_SERVER")
        .is_ok_and(|server| !server.is_empty() && !server.starts_with("unix:"));
    if is_elsewhere {
        return None;
    }

    pulseaudio::socket_path_from_env()
}

fn speaker(sink: &SinkInfo) -> Option<ServerDevice> {
    let name = text(&sink.name)?;
    (name != NO_SPEAKER).then(|| ServerDevice {
        description: described(&name, sink.description.as_deref()),
        name,
        default: false,
        rate: sink.sample_spec.sample_rate,
        channels: sink.sample_spec.channels.into(),
        card: card(&sink.props),
    })
}

fn microphone(source: &SourceInfo) -> Option<ServerDevice> {
    let is_monitor =
        source.monitor_of_sink_index.is_some() || source.monitor_of_sink_name.is_some();
    let name = text(&source.name)?;
    (!is_monitor).then(|| ServerDevice {
        description: described(&name, source.description.as_deref()),
        name,
        default: false,
        rate: source.sample_spec.sample_rate,
        channels: source.sample_spec.channels.into(),
        card: card(&source.props),
    })
}

/// What to call a device: its description, or its name if it has none.
fn described(name: &str, description: Option<&CStr>) -> String {
    description
        .map(|description| description.to_string_lossy().into_owned())
        .filter(|description| !description.trim().is_empty())
        .unwrap_or_else(|| name.to_owned())
}

/// The sound card behind a device.
fn card(properties: &Props) -> Option<Card> {
    let number = |key: &CStr| {
        let value = CStr::from_bytes_until_nul(properties.get_bytes(key)?).ok()?;
        value.to_str().ok()?.parse().ok()
    };

    Some(Card {
        card: number(c"alsa.card")?,
        device: number(c"alsa.device")?,
    })
}

fn text(name: &CStr) -> Option<String> {
    name.to_str().ok().map(str::to_owned)
}
