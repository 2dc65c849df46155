//! Measures how fast the window is and what it costs, for `cargo xtask bench window`.
//!
//! Usage: window_bench TANDEM SECONDS. Prints one JSON object per line: `{"begin": PHASE, "pids":
//! […]}` when a phase begins, so that the reader can measure these processes, and `{"end": PHASE,
//! …}` with the figures of the phase.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[cfg(target_os = "linux")]
mod scripts;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use anyhow::Context;
    let mut arguments = std::env::args().skip(1);
    let tandem = arguments.next().context("name the program to measure")?;
    let seconds = arguments
        .next()
        .context("say how many seconds to measure")?
        .parse()
        .context("the seconds are not a number")?;

    linux::Bench {
        tandem: tandem.into(),
        seconds,
    }
    .run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("{{}}");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::net::TcpListener;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use anyhow::{Context, Result, ensure};
    use serde_json::{Value, json};
    use tandem_tests::pulse::MICROPHONE_FEED;
    use tandem_tests::window::{Home, TEST_MEDIA};
    use tandem_tests::{
        Network, Part, Process, PulseAudio, Screen, SecureServer, ServerProcess, Window, signal,
        wav,
    };

    use crate::scripts::{ACCEPT, COUNT, ENLARGE, FIRST_FRAME, JOIN, USABLE, USABLE_ALONE, WATCH};

    /// Level of a quiet room's noise in a microphone, in dB of full scale.
    const ROOM_DB: f64 = -50.0;

    pub(super) struct Bench {
        pub(super) tandem: PathBuf,
        pub(super) seconds: u64,
    }

    impl Bench {
        pub(super) fn run(&self) -> Result<()> {
            let screen = Screen::start()?;
            let server = ServerProcess::start()?;
            // Accepts connections, and never says anything.
            let silent = TcpListener::bind("127.0.0.1:0")?;
            let unanswered = format!("ws://{}", silent.local_addr()?);
            for _ in 0..5 {
                self.start(&screen, "start", &server.url(), USABLE)?;
                self.start(&screen, "start-alone", &unanswered, USABLE_ALONE)?;
            }

            self.join(&screen)?;
            if Part::Network.check().is_ok() {
                self.nearby(&screen)?;
            }

            self.idle(&screen, &server, "idle", Home::new()?)?;
            if Part::PulseAudio.check().is_ok() {
                let pulse = PulseAudio::start()?;
                let window = self.idle(
                    &screen,
                    &server,
                    "idle-microphone",
                    Home::new()?.with_sound_server(&pulse),
                )?;
                let folder = tempfile::tempdir()?;
                let _room = pulse.play(&self.room(folder.path())?, MICROPHONE_FEED)?;
                self.wait("idle-room", &[&window], 3)?;
            }

            self.call(&screen)?;
            self.both(&screen)
        }

        fn open(&self, screen: &Screen, home: Home, arguments: &[&str]) -> Result<Window> {
            let window = Window::open_program(&self.tandem, home, screen, arguments)?;
            window.resize(1500, 960)?;
            Ok(window)
        }

        /// Measures the time from the start of the process to a usable lobby, and to the first
        /// local frame in it.
        fn start(&self, screen: &Screen, phase: &str, server: &str, usable: &str) -> Result<()> {
            println!("{}", json!({ "begin": phase, "pids": [] }));
            let arguments = [&TEST_MEDIA[..], &["--signaling", server]].concat();
            let window = Window::open_program(&self.tandem, Home::new()?, screen, &arguments)?;
            let started = process_start(window.process_id()?)?;
            let usable = window
                .run_async(usable, &json!([]))?
                .as_f64()
                .context("the page returned no time")?;
            window.wait_for_frames("#local", 1)?;
            let first_frame = unix_ms();
            println!(
                "{}",
                json!({ "end": phase, "lobbyMs": usable - started, "pictureMs": first_frame - started })
            );

            Ok(())
        }

        /// Measures how long a guest of an invite waits for the partner's first frame, over TLS, when
        /// the other side accepts at once: with Tandem open, and with Tandem started by the link.
        fn join(&self, screen: &Screen) -> Result<()> {
            let server = SecureServer::start()?;
            let open = |name: &str, more: &[&str]| -> Result<Window> {
                let home = Home::new()?;
                let arguments = server.arguments(&home, name)?;
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let arguments = [&TEST_MEDIA[..], &arguments, more].concat();
                self.open(screen, home, &arguments)
            };

            let owner = open("Ann", &[])?;
            owner.wait_for_state("/server/status", &json!("connected"))?;
            owner.run(ACCEPT, &json!([]))?;
            let invite = || -> Result<String> {
                // The server rings one listener at most once in three seconds.
                std::thread::sleep(Duration::from_secs(3));
                run(&owner, "invite", &json!({}))?;
                owner.wait_for_state("/invitation/status", &json!("ready"))?;
                let state = owner.state()?;
                let link = state["invitation"]["appLink"]
                    .as_str()
                    .or(state["invitation"]["webLink"].as_str());
                Ok(link.context("an invite has a link")?.to_owned())
            };

            let measure = |phase: &str, guest: &Window| -> Result<()> {
                println!("{}", json!({ "begin": phase, "pids": [] }));
                let waited = guest.run_async(JOIN, &json!([]))?;
                println!("{}", json!({ "end": phase, "firstFrameMs": waited }));
                run(&owner, "hangUp", &json!({}))?;
                owner.wait_for_screen("ended")
            };

            let guest = open("Bea", &[])?;
            guest.wait_for_state("/server/status", &json!("connected"))?;
            for _ in 0..5 {
                let link = invite()?;
                run(&guest, "callWithCode", &json!({ "code": link }))?;
                measure("join-open", &guest)?;
                guest.wait_for_screen("ended")?;
                run(&guest, "toLobby", &json!({}))?;
            }

            drop(guest);
            for _ in 0..5 {
                let link = invite()?;
                measure("join-closed", &open("Bea", &[&link])?)?;
            }

            Ok(())
        }

        /// Measures how long two people nearby wait for each other's first frame, from the moment in
        /// which one accepts; then the idle home screen with the list open, and with camera and
        /// microphone off.
        fn nearby(&self, screen: &Screen) -> Result<()> {
            let network = Network::with_addresses(&["192.168.7.1/24", "192.168.7.2/24"])?;
            let open = |number: usize, name: &str| -> Result<Window> {
                let arguments = [&TEST_MEDIA[..], &["--name", name]].concat();
                let (host, home) = (network.host(number), Home::new()?);
                let window = Window::open_program_on(host, &self.tandem, home, screen, &arguments)?;
                window.resize(1500, 960)?;
                run(&window, "openNearby", &json!({}))?;
                Ok(window)
            };
            let windows = [open(0, "Ann")?, open(1, "Bea")?];
            let [caller, called] = &windows;
            called.run(ACCEPT, &json!([]))?;

            for _ in 0..5 {
                caller.wait_for_state("/nearby/people/0/name", &json!("Bea"))?;
                println!("{}", json!({ "begin": "nearby", "pids": [] }));
                caller.press("call-nearby")?;
                let seen = in_all(&[caller, called], FIRST_FRAME, &json!([]))?;
                let accepted = called.run("return window.acceptedAt;", &json!([]))?;
                let waited = |at: &Value| Some(at.as_f64()? - accepted.as_f64()?);
                let last = seen.iter().filter_map(waited).fold(f64::NAN, f64::max);
                println!("{}", json!({ "end": "nearby", "firstFrameMs": last }));

                run(caller, "hangUp", &json!({}))?;
                for window in &windows {
                    window.wait_for_screen("ended")?;
                    run(window, "toLobby", &json!({}))?;
                }
            }

            for window in &windows {
                run(window, "setCameraOn", &json!({ "on": false }))?;
                run(window, "setMicrophone", &json!({ "id": "none" }))?;
            }
            self.wait("nearby-idle", &[caller], 3)
        }

        /// Writes what a microphone picks up in a room where nobody speaks, longer than a phase,
        /// and returns the path.
        fn room(&self, folder: &Path) -> Result<PathBuf> {
            let mut noise = signal::noise((self.seconds as usize + 10) * wav::RATE as usize, 1);
            let change_db = ROOM_DB - signal::rms_db(&noise);
            noise
                .iter_mut()
                .for_each(|sample| *sample *= 10_f64.powf(change_db / 20.0) as f32);
            let path = folder.join("room.wav");
            wav::write(&path, &noise)?;

            Ok(path)
        }

        /// Measures the idle lobby with the camera off, connected to `server`.
        fn idle(
            &self,
            screen: &Screen,
            server: &ServerProcess,
            phase: &str,
            home: Home,
        ) -> Result<Window> {
            let url = server.url();
            let window = self.open(screen, home, &["--video", "test", "--signaling", &url])?;
            window.wait_for_state("/server/status", &json!("connected"))?;
            for (name, arguments) in [
                ("setCameraOn", json!({ "on": false })),
                // Without a sound server there is no microphone: do not look for one.
                (
                    "setMicrophone",
                    json!({ "id": if phase == "idle" { Value::from("none") } else { Value::Null } }),
                ),
            ] {
                run(&window, name, &arguments)?;
            }

            self.wait(phase, &[&window], 3)?;
            Ok(window)
        }

        /// Measures a window in a call with a headless peer, as if the partner were on another
        /// machine; then again with the local video as large as the partner's.
        fn call(&self, screen: &Screen) -> Result<()> {
            let server = ServerProcess::start()?;
            let url = server.url();
            let mut partner = Command::new(&self.tandem);
            partner.args([
                "--headless",
                "--speaker",
                "none",
                "--room",
                "bench",
                "--signaling",
                &url,
            ]);
            let _partner = Process::start(partner)?;
            let window = self.caller(screen, &url)?;
            settle(&window)?;
            self.count("call", &[&window])?;
            window.run(ENLARGE, &json!([]))?;
            std::thread::sleep(Duration::from_secs(2));
            self.count("large", &[&window])?;
            println!("{}", json!({ "begin": "order", "pids": [] }));
            let watched = window.run_async(WATCH, &json!(["#remote", self.seconds * 500]))?;
            println!(
                "{}",
                json!({ "end": "order", "stale": stale(&watched)?, "seen": watched["seen"].as_array().map(Vec::len) })
            );

            Ok(())
        }

        /// Measures two windows that call each other: twice the work on one machine.
        fn both(&self, screen: &Screen) -> Result<()> {
            let server = ServerProcess::start()?;
            let url = server.url();
            let windows = [self.caller(screen, &url)?, self.caller(screen, &url)?];
            windows.iter().try_for_each(settle)?;

            self.count("both", &windows.each_ref())
        }

        /// Opens a window that searches for its partner.
        fn caller(&self, screen: &Screen, url: &str) -> Result<Window> {
            let window = self.open(
                screen,
                Home::new()?,
                &[&TEST_MEDIA[..], &["--signaling", url]].concat(),
            )?;
            let code = json!({ "code": "bench" });
            run(&window, "callWithCode", &code)?;

            Ok(window)
        }

        /// Counts the frames that these windows draw during one phase.
        fn count(&self, phase: &str, windows: &[&Window]) -> Result<()> {
            begin(phase, windows)?;
            let arguments = json!([["#remote", "#local"], self.seconds * 1000]);
            let counted = in_all(windows, COUNT, &arguments)?;
            println!("{}", json!({ "end": phase, "windows": counted }));
            Ok(())
        }

        fn wait(&self, phase: &str, windows: &[&Window], settling: u64) -> Result<()> {
            std::thread::sleep(Duration::from_secs(settling));
            begin(phase, windows)?;
            std::thread::sleep(Duration::from_secs(self.seconds));
            println!("{}", json!({ "end": phase }));

            Ok(())
        }
    }

    /// Runs a script in these windows at the same time.
    fn in_all(windows: &[&Window], script: &str, arguments: &Value) -> Result<Vec<Value>> {
        std::thread::scope(|scope| {
            let start = |window| scope.spawn(move || Window::run_async(window, script, arguments));
            let running: Vec<_> = windows.iter().copied().map(start).collect();
            let results = running.into_iter().map(std::thread::ScopedJoinHandle::join);

            results
                .map(|result| result.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked"))))
                .collect()
        })
    }

    /// Sends the app a command that it has to take.
    fn run(window: &Window, command: &str, fields: &Value) -> Result<()> {
        window
            .command(command, fields)?
            .map(drop)
            .map_err(|refusal| anyhow::anyhow!("{command}: {refusal}"))
    }

    /// Waits until the call runs, its bitrate has risen and its controls are hidden.
    fn settle(window: &Window) -> Result<()> {
        window.wait_for_screen("in-call")?;
        window.wait_for_frames("#remote", 60)?;
        std::thread::sleep(Duration::from_secs(5));

        Ok(())
    }

    fn begin(phase: &str, windows: &[&Window]) -> Result<()> {
        let pids = windows
            .iter()
            .map(|window| window.process_id())
            .collect::<Result<Vec<u32>>>()?;
        println!("{}", json!({ "begin": phase, "pids": pids }));
        Ok(())
    }

    /// Counts frames that were shown after a later one.
    fn stale(watched: &Value) -> Result<usize> {
        let seen: Vec<u16> = serde_json::from_value(watched["seen"].clone())
            .context("the page returned no frame numbers")?;
        ensure!(seen.len() > 10, "too few frames: {watched}");
        Ok(seen
            .windows(2)
            .filter(|pair| pair[1].wrapping_sub(pair[0]) >= 0x8000)
            .count())
    }

    /// When a process started, in Unix ms. The kernel keeps it in units of 10 ms.
    fn process_start(pid: u32) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("/proc/PID/stat has no name in parentheses")?
            .1
            .split_whitespace()
            .collect();
        let ticks: f64 = fields
            .get(19)
            .context("/proc/PID/stat has no start time")?
            .parse()?;
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let up: f64 = uptime
            .split_whitespace()
            .next()
            .context("/proc/uptime is empty")?
            .parse()?;

        Ok(unix_ms() - up * 1e3 + ticks * 10.0)
    }

    fn unix_ms() -> f64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |elapsed| elapsed.as_secs_f64() * 1e3)
    }
}
