//! A sound server of the test's own: a speaker that can be recorded, and a microphone into which sounds can be played.
//!
//! Programs reach it as they would reach the desktop's: by ALSA's default device, through its PulseAudio plug-in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{Process, wait_until};

/// The sink that stands for the loudspeaker; `speaker.monitor` hears what comes out of it.
pub const SPEAKER: &str = "speaker";
/// The sink whose sound the microphone picks up: what is played here was said into the microphone.
pub const MOUTH: &str = "mouth";
/// The source that stands for the microphone.
pub const MICROPHONE: &str = "microphone";

/// A second loudspeaker, by the name that ALSA and the sound server have for it.
pub const HEADPHONES: &str = "headphones";
/// What is played here was said into the second microphone.
pub const HEADSET_MOUTH: &str = "headset_mouth";
/// The second microphone, by the name that ALSA and the sound server have for it.
pub const HEADSET: &str = "headset";

/// ALSA's default device is the sound server's; the second ones have names.
const ALSA: &str = "\
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse hint { show on description \"Sound server\" } }
ctl.!default { type pulse }
pcm.headphones { type pulse device headphones hint { show on description \"Headphones\" } }
pcm.headset { type pulse device headset hint { show on description \"Headset\" } }
";

/// A running server. Dropping it stops it.
pub struct PulseAudio {
    /// Declared first: the server ends before its folder goes.
    _server: Process,
    folder: TempDir,
}

impl PulseAudio {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up within 20 s.
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
            format!("module-null-sink sink_name={MOUTH} rate=48000 channels=2"),
            format!("module-remap-source source_name={MICROPHONE} master={MOUTH}.monitor"),
            format!("module-null-sink sink_name={HEADPHONES} rate=48000 channels=2"),
            format!("module-null-sink sink_name={HEADSET_MOUTH} rate=48000 channels=2"),
            format!("module-remap-source source_name={HEADSET} master={HEADSET_MOUTH}.monitor"),
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
        let sound = Self {
            _server: server,
            folder,
        };

        wait_until("the sound server answers", Duration::from_secs(20), || {
            sound.control(&["info"]).ok()
        })?;

        sound.control(&["set-default-sink", SPEAKER])?;
        sound.control(&["set-default-source", MICROPHONE])?;
        Ok(sound)
    }

    /// What a program must find in its environment to use this server and no other.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        environment(self.folder.path())
    }

    /// Runs `pactl`.
    ///
    /// # Errors
    /// When it fails: with its message.
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

    /// The air between loudspeaker and microphone: from now on the microphone hears the speaker, `delay_ms` later and
    /// `loss_db` quieter.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn open_echo_path(&self, delay_ms: u32, loss_db: u32) -> Result<()> {
        let source = format!("source={SPEAKER}.monitor");
        let sink = format!("sink={MOUTH}");
        let delay = format!("latency_msec={delay_ms}");
        self.control(&["load-module", "module-loopback", &source, &sink, &delay])?;
        // The only sound that is played into the microphone so far.
        let inputs = self.control(&["list", "short", "sink-inputs"])?;
        let input = inputs
            .split_whitespace()
            .next()
            .context("the echo path is not listed")?;

        self.control(&["set-sink-input-volume", input, &format!("-{loss_db}dB")])
            .map(drop)
    }

    /// How many programs listen to a microphone at the moment.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn listeners(&self) -> Result<usize> {
        // What makes a microphone of a monitor listens, too, for as long as the server runs.
        let outputs = self.control(&["list", "source-outputs"])?;
        Ok(outputs.matches("application.process.id").count())
    }

    /// Begins to play a file on a sink; the process ends with the sound.
    ///
    /// # Errors
    /// When the player does not start.
    pub fn play(&self, file: &Path, sink: &str) -> Result<Process> {
        let mut command = self.command("paplay");
        command.arg(format!("--device={sink}")).arg(file);
        Process::start(command)
    }

    /// Begins to record what comes out of a sink, and waits until sound arrives.
    ///
    /// # Errors
    /// When nothing arrives within 20 s.
    pub fn record(&self, sink: &str) -> Result<Recording> {
        let path = self.folder.path().join(format!("recorded-{sink}.raw"));

        // An earlier recording must not be taken for the first sound of this one.
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
        let has_sound = || {
            fs::metadata(&path)
                .is_ok_and(|file| file.len() > 0)
                .then_some(())
        };

        wait_until(
            "the recorder gets sound",
            Duration::from_secs(20),
            has_sound,
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

/// A recording that is going on.
pub struct Recording {
    recorder: Process,
    path: PathBuf,
}

impl Recording {
    /// Waits until so much more has been recorded: what was played last is still on its way.
    ///
    /// # Errors
    /// When the recorder gets no more sound.
    pub fn wait_for_more(&self, time: Duration) -> Result<()> {
        let length = || fs::metadata(&self.path).map_or(0, |file| file.len());
        // 2 bytes a sample, 48 samples a millisecond.
        let wanted = u128::from(length()) + time.as_millis() * 96;
        let enough = || (u128::from(length()) >= wanted).then_some(());

        wait_until(
            "the recorder gets more sound",
            time + Duration::from_secs(20),
            enough,
        )
    }

    /// Ends it; gives mono samples at 48 kHz in -1.0 to 1.0.
    ///
    /// # Errors
    /// When the recorder does not end or left no file.
    pub fn finish(mut self) -> Result<Vec<f32>> {
        self.recorder.signal(libc::SIGTERM);
        self.recorder.wait(Duration::from_secs(10))?;
        let bytes = fs::read(&self.path).context("the recording cannot be read")?;
        let sample = |pair: &[u8]| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0;

        Ok(bytes.chunks_exact(2).map(sample).collect())
    }
}
