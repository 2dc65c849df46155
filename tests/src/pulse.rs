//! A private sound server: a speaker that can be recorded, and a microphone that hears what is
//! played to it.
//!
//! Programs reach it as they reach the desktop's: through ALSA's default device and its PulseAudio
//! plug-in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{Process, wait_until};

/// The sink that plays the part of the loudspeaker; `speaker.monitor` hears its output.
pub const SPEAKER: &str = "speaker";
/// The sink that the microphone hears: playing here is speaking into the microphone.
pub const MICROPHONE_FEED: &str = "microphone_feed";
/// The source that plays the part of the microphone.
pub const MICROPHONE: &str = "microphone";

/// A second loudspeaker, under this name in ALSA and the sound server.
pub const HEADPHONES: &str = "headphones";
/// Playing here is speaking into the second microphone.
pub const HEADSET_FEED: &str = "headset_feed";
/// The second microphone, under this name in ALSA and the sound server.
pub const HEADSET: &str = "headset";

/// ALSA's default device is the sound server's; the second ones have names.
const ALSA: &str = "\
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse hint { show on description \"Sound server\" } }
ctl.!default { type pulse }
pcm.headphones { type pulse device headphones hint { show on description \"Headphones\" } }
pcm.headset { type pulse device headset hint { show on description \"Headset\" } }
";

/// A running server, stopped when dropped.
pub struct PulseAudio {
    /// Declared first, so that the server stops before its folder is removed.
    _server: Process,
    folder: TempDir,
}

impl PulseAudio {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it does not start within 20 s.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tandem-pulse").tempdir()?;
        fs::write(folder.path().join("asound.conf"), ALSA)?;
        let socket = folder.path().join("native");
        let modules = [
            format!(
                "module-native-protocol-unix socket={} auth-anonymous=1",
                socket.display()
            ),
            format!("module-null-sink sink_name={SPEAKER} rate=48000 channels=2"),
            format!("module-null-sink sink_name={MICROPHONE_FEED} rate=48000 channels=2"),
            format!(
                "module-remap-source source_name={MICROPHONE} master={MICROPHONE_FEED}.monitor"
            ),
            format!("module-null-sink sink_name={HEADPHONES} rate=48000 channels=2"),
            format!("module-null-sink sink_name={HEADSET_FEED} rate=48000 channels=2"),
            format!("module-remap-source source_name={HEADSET} master={HEADSET_FEED}.monitor"),
        ];
        let mut command = Command::new("pulseaudio");
        command.args([
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--log-target=stderr",
        ]);
        command.args(modules.iter().flat_map(|module| ["-L", module]));
        command
            .envs(environment(folder.path()))
            .env("HOME", folder.path());
        let server = Process::start(command)?;
        let pulse = Self {
            _server: server,
            folder,
        };

        wait_until("the sound server answers", Duration::from_secs(20), || {
            pulse.control(&["info"]).ok()
        })?;

        pulse.control(&["set-default-sink", SPEAKER])?;
        pulse.control(&["set-default-source", MICROPHONE])?;
        Ok(pulse)
    }

    /// The environment variables with which a program uses this server.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        environment(self.folder.path())
    }

    /// Runs `pactl`.
    ///
    /// # Errors
    /// When it fails, with its message.
    pub fn control(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .command("pactl")
            .args(arguments)
            .output()
            .context("cannot start pactl")?;
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        anyhow::ensure!(
            output.status.success(),
            "pactl {}: {message}",
            arguments.join(" ")
        );

        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Opens an echo path: from now on the microphone hears the speaker `delay_ms` later and
    /// `loss_db` quieter.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open_echo_path(&self, delay_ms: u32, loss_db: u32) -> Result<()> {
        let source = format!("source={SPEAKER}.monitor");
        let sink = format!("sink={MICROPHONE_FEED}");
        let delay = format!("latency_msec={delay_ms}");
        self.control(&["load-module", "module-loopback", &source, &sink, &delay])?;
        // The only stream that plays into the microphone so far.
        let inputs = self.control(&["list", "short", "sink-inputs"])?;
        let input = inputs
            .split_whitespace()
            .next()
            .context("the echo path is not listed")?;

        self.control(&["set-sink-input-volume", input, &format!("-{loss_db}dB")])
            .map(drop)
    }

    /// The number of programs that read a microphone at the moment.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn listeners(&self) -> Result<usize> {
        // The remap modules also read the monitors, for as long as the server runs, but belong to
        // no process.
        let outputs = self.control(&["list", "source-outputs"])?;
        Ok(outputs.matches("application.process.id").count())
    }

    /// Starts playing a file on a sink. The process exits when the file ends.
    ///
    /// # Errors
    /// When the player does not start.
    pub fn play(&self, file: &Path, sink: &str) -> Result<Process> {
        let mut command = self.command("paplay");
        command.arg(format!("--device={sink}")).arg(file);
        Process::start(command)
    }

    /// Starts recording a sink's output, and waits until audio arrives.
    ///
    /// # Errors
    /// When nothing arrives within 20 s.
    pub fn record(&self, sink: &str) -> Result<Recording> {
        let path = self.folder.path().join(format!("recorded-{sink}.raw"));

        // An earlier recording must not count as the start of this one.
        if path.exists() {
            fs::remove_file(&path).context("cannot remove the earlier recording")?;
        }

        let mut command = self.command("parec");
        command.arg(format!("--device={sink}.monitor"));
        command
            .args([
                "--raw",
                "--format=s16le",
                "--rate=48000",
                "--channels=1",
                "--latency-msec=20",
            ])
            .arg(&path);
        let recorder = Process::start(command)?;
        let has_audio = || {
            fs::metadata(&path)
                .is_ok_and(|file| file.len() > 0)
                .then_some(())
        };

        wait_until(
            "the recorder gets audio",
            Duration::from_secs(20),
            has_audio,
        )?;
        Ok(Recording { recorder, path })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment());
        command
    }
}

fn environment(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let socket = format!("unix:{}", folder.join("native").display());
    vec![
        ("XDG_RUNTIME_DIR", folder.to_owned()),
        ("PULSE_RUNTIME_PATH", folder.to_owned()),
        ("PULSE_SERVER", PathBuf::from(socket)),
        ("ALSA_CONFIG_PATH", folder.join("asound.conf")),
    ]
}

/// A recording in progress.
pub struct Recording {
    recorder: Process,
    path: PathBuf,
}

impl Recording {
    /// Waits until `time` more has been recorded, because what was played last is still in buffers.
    ///
    /// # Errors
    /// When the recorder gets no more audio.
    pub fn wait_for_more(&self, time: Duration) -> Result<()> {
        let length = || fs::metadata(&self.path).map_or(0, |file| file.len());
        // 2 bytes a sample, 48 samples a millisecond.
        let wanted = u128::from(length()) + time.as_millis() * 96;
        let enough = || (u128::from(length()) >= wanted).then_some(());

        wait_until(
            "the recorder gets more audio",
            time + Duration::from_secs(20),
            enough,
        )
    }

    /// Waits until a sample is louder than `level` (1.0 is full scale).
    ///
    /// # Errors
    /// When that does not happen within 20 s.
    pub fn wait_for_sound(&self, level: f32) -> Result<()> {
        let is_loud = || {
            let samples = self.samples().ok()?;
            samples
                .iter()
                .any(|sample| sample.abs() > level)
                .then_some(())
        };

        wait_until("a sound is recorded", Duration::from_secs(20), is_loud)
    }

    /// Stops it and returns mono samples at 48 kHz, from -1.0 to 1.0.
    ///
    /// # Errors
    /// When the recorder does not stop, or left no file.
    pub fn finish(mut self) -> Result<Vec<f32>> {
        self.recorder.signal(libc::SIGTERM);
        self.recorder.wait(Duration::from_secs(10))?;
        self.samples()
    }

    fn samples(&self) -> Result<Vec<f32>> {
        let bytes = fs::read(&self.path).context("cannot read the recording")?;
        let sample = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;

        Ok(bytes.chunks_exact(2).map(sample).collect())
    }
}
