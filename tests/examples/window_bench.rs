//! Measures how fast the window is and what it costs, for `cargo xtask bench window`.
//!
//! Usage: window_bench TANDEM SECONDS. Prints one JSON object per line: `{"begin": PHASE, "pids":
//! […]}` when a phase begins, so that the reader can measure these processes, and `{"end": PHASE,
//! …}` with the figures of the phase.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

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
        Part, Process, PulseAudio, Screen, SecureServer, ServerProcess, Window, signal, wav,
    };

    /// Collects for `ms` the number in each frame that a canvas shows. The number fills the first
    /// row of the code.
    const WATCH: &str = "
        const [selector, ms, done] = arguments;
        const canvas = document.querySelector(selector), begun = performance.now(), seen = [];
        const first = Number(canvas.dataset.frames);
        const look = () => {
            const unit = canvas.width / 32;
            const pixels = canvas.getContext('2d').getImageData(0, Math.round(1.5 * unit), Math.ceil(17 * unit), 1).data;
            let number = 0;
            for (let column = 0; column < 16; column++) {
                const at = Math.round((1.5 + column) * unit) * 4;
                number = number * 2 + (pixels[at] > 127 ? 1 : 0);
            }
            if (seen[seen.length - 1] !== number) seen.push(number);
            if (performance.now() - begun < ms) requestAnimationFrame(look);
            else done({ ms: performance.now() - begun, frames: Number(canvas.dataset.frames) - first, seen,
                        ageMsP95: Number(canvas.dataset.ageMsP95), width: canvas.width, height: canvas.height });
        };
        requestAnimationFrame(look);";

    /// Only counts drawn frames: reading them back costs more than drawing them.
    const COUNT: &str = "
        const [selectors, ms, done] = arguments;
        const canvases = selectors.map((selector) => document.querySelector(selector));
        const frames = () => canvases.map((canvas) => Number(canvas.dataset.frames));
        const begun = performance.now(), first = frames();
        setTimeout(() => {
            const took = performance.now() - begun;
            done(frames().map((count, at) => ({ fps: (count - first[at]) * 1000 / took,
                ageMsP95: Number(canvases[at].dataset.ageMsP95), width: canvases[at].width, height: canvases[at].height })));
        }, ms);";

    /// Enlarges the local video to the size of the partner's, 1280x720.
    const ENLARGE: &str = "
        const local = document.querySelector('#self-view');
        Object.assign(local.style, { width: '1280px', height: '720px', left: '0', top: '0' });";

    /// Waits until the lobby can be used, and returns when the page first drew a screen, in Unix
    /// ms.
    const USABLE: &str = "
        const done = arguments[0];
        const usable = () => document.querySelector('main[data-screen=lobby] [data-action=find-partner]:enabled');
        const mark = () => performance.getEntriesByName('first-screen')[0];
        const look = () => mark() && usable() ? done(performance.timeOrigin + mark().startTime) : setTimeout(look, 10);
        look();";

    /// The same for a lobby that shows that its server does not answer.
    const USABLE_ALONE: &str = "
        const done = arguments[0];
        const usable = () => document.querySelector('main[data-screen=lobby] [data-action=settings]:enabled');
        const mark = () => performance.getEntriesByName('first-screen')[0];
        const look = () => mark() && usable() ? done(performance.timeOrigin + mark().startTime) : setTimeout(look, 10);
        look();";

    /// Accepts each call in the moment in which it rings.
    const ACCEPT: &str = "
        new MutationObserver(() => document.querySelector('[data-action=accept-call]')?.click())
            .observe(document.body, { childList: true, subtree: true });";

    /// Clicks the button that joins, and returns how many ms later the partner's first frame is
    /// drawn.
    const JOIN: &str = "
        const done = arguments[0];
        let begun;
        const look = () => {
            const button = document.querySelector('[data-action=join-opened]:enabled');
            if (!begun && button) {
                begun = performance.now();
                button.click();
            }
            const frames = Number(document.querySelector('#remote')?.dataset.frames ?? 0);
            if (begun && frames > 0) done(performance.now() - begun);
            else setTimeout(look, 2);
        };
        look();";

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
                owner
                    .command("invite", &json!({}))?
                    .map_err(|refusal| anyhow::anyhow!("invite: {refusal}"))?;
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
                owner
                    .command("hangUp", &json!({}))?
                    .map_err(|refusal| anyhow::anyhow!("hangUp: {refusal}"))?;
                owner.wait_for_screen("ended")
            };

            let guest = open("Bea", &[])?;
            guest.wait_for_state("/server/status", &json!("connected"))?;
            for _ in 0..5 {
                let link = invite()?;
                guest
                    .command("callWithCode", &json!({ "code": link }))?
                    .map_err(|refusal| anyhow::anyhow!("callWithCode: {refusal}"))?;
                measure("join-open", &guest)?;
                guest.wait_for_screen("ended")?;
                guest
                    .command("toLobby", &json!({}))?
                    .map_err(|refusal| anyhow::anyhow!("toLobby: {refusal}"))?;
            }

            drop(guest);
            for _ in 0..5 {
                let link = invite()?;
                measure("join-closed", &open("Bea", &[&link])?)?;
            }

            Ok(())
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
                window
                    .command(name, &arguments)?
                    .map_err(|refusal| anyhow::anyhow!("{name}: {refusal}"))?;
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
            window
                .command("callWithCode", &code)?
                .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;

            Ok(window)
        }

        /// Counts the frames that these windows draw during one phase.
        fn count(&self, phase: &str, windows: &[&Window]) -> Result<()> {
            begin(phase, windows)?;
            let arguments = json!([["#remote", "#local"], self.seconds * 1000]);
            let counted = std::thread::scope(|scope| {
                let arguments = &arguments;
                let count =
                    |window| scope.spawn(move || Window::run_async(window, COUNT, arguments));
                let counters: Vec<_> = windows.iter().copied().map(count).collect();
                let counts = counters
                    .into_iter()
                    .map(std::thread::ScopedJoinHandle::join);

                counts
                    .map(|count| {
                        count.unwrap_or_else(|_| Err(anyhow::anyhow!("a counter panicked")))
                    })
                    .collect()
            });

            let counted: Result<Vec<Value>> = counted;
            println!("{}", json!({ "end": phase, "windows": counted? }));
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
