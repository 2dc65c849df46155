//! What the window takes and how fast it is, for `cargo xtask bench window`.
//!
//! Usage: window_bench TANDEM SECONDS. Prints one JSON object a line: `{"begin": PHASE, "pids": […]}` when a phase
//! begins, so that whoever reads can watch the processes, and `{"end": PHASE, …}` with the phase's figures.

#![allow(clippy::print_stdout, reason = "its output is its product")]

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    use anyhow::Context;
    let mut arguments = std::env::args().skip(1);
    let tandem = arguments.next().context("say which program to measure")?;
    let seconds = arguments.next().context("say how long")?.parse().context("seconds are a number")?;
    linux::Bench { tandem: tandem.into(), seconds }.run()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("{{}}");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use anyhow::{Context, Result, ensure};
    use serde_json::{Value, json};
    use tandem_tests::window::{Home, TEST_MEDIA};
    use tandem_tests::{Process, Relay, Screen, Window};

    /// Collects, for so many milliseconds, the number and the time in each picture that a canvas shows.
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

    /// Counts drawn pictures only: reading them back costs more than drawing them.
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

    pub(super) struct Bench {
        pub(super) tandem: PathBuf,
        pub(super) seconds: u64,
    }

    impl Bench {
        pub(super) fn run(&self) -> Result<()> {
            let screen = Screen::start()?;
            for _ in 0..3 {
                self.start(&screen)?;
            }
            self.idle(&screen)?;
            self.call(&screen)?;
            self.both(&screen)
        }

        fn open(&self, screen: &Screen, home: Home, more: &[&str]) -> Result<Window> {
            self.open_with(screen, home, &[&TEST_MEDIA[..], more].concat())
        }

        fn open_with(&self, screen: &Screen, home: Home, arguments: &[&str]) -> Result<Window> {
            let window = Window::open_program(&self.tandem, home, screen, arguments)?;
            window.resize(1500, 960)?;
            Ok(window)
        }

        /// From the start of the process to a lobby that can be used, and to the first own picture in it.
        fn start(&self, screen: &Screen) -> Result<()> {
            println!("{}", json!({ "begin": "start", "pids": [] }));
            let window = self.open(screen, Home::new()?, &[])?;
            let started = process_start(window.process_id()?)?;
            let script = "const done = arguments[0];
                const paint = () => performance.getEntriesByType('paint').find((e) => e.name === 'first-contentful-paint');
                const look = () => paint() ? done(performance.timeOrigin + paint().startTime) : setTimeout(look, 10);
                look();";
            let painted = window.run_async(script, &json!([]))?.as_f64().context("a time")?;
            window.wait_for_pictures("#local", 1)?;
            let first_picture = unix_ms();
            println!(
                "{}",
                json!({ "end": "start", "lobbyMs": painted - started, "pictureMs": first_picture - started })
            );
            Ok(())
        }

        /// The lobby with the camera off, doing nothing.
        fn idle(&self, screen: &Screen) -> Result<()> {
            let window =
                self.open_with(screen, Home::new()?, &["--video", "test", "--audio", "none", "--speaker", "none"])?;
            window
                .command("set_camera_on", &json!({ "on": false }))?
                .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
            window
                .command("set_microphone", &json!({ "id": "none" }))?
                .map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
            self.pause("idle", &[&window], 2)
        }

        /// A window in a full call with a headless peer, as when the partner sits at another machine.
        fn call(&self, screen: &Screen) -> Result<()> {
            let relay = Relay::start()?;
            let url = relay.url();
            let mut partner = Command::new(&self.tandem);
            partner.args(["--headless", "--speaker", "none", "--room", "bench", "--signaling", &url]);
            let _partner = Process::start(partner)?;
            let window = self.open(screen, Home::new()?, &["--signaling", &url])?;
            join(&window)?;
            begin("call", &[&window])?;
            let counted = self.count(&window)?;
            println!("{}", json!({ "end": "call", "windows": [counted] }));
            println!("{}", json!({ "begin": "order", "pids": [] }));
            let watched = window.run_async(WATCH, &json!(["#remote", self.seconds * 500]))?;
            println!(
                "{}",
                json!({ "end": "order", "stale": stale(&watched)?, "seen": watched["seen"].as_array().map(Vec::len) })
            );
            Ok(())
        }

        /// Two windows that call each other: twice the work on one machine.
        fn both(&self, screen: &Screen) -> Result<()> {
            let relay = Relay::start()?;
            let url = relay.url();
            let windows = [
                self.open(screen, Home::new()?, &["--signaling", &url])?,
                self.open(screen, Home::new()?, &["--signaling", &url])?,
            ];
            let code = json!({ "code": "bench" });
            for window in &windows {
                window.command("call_with_code", &code)?.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
            }
            windows.iter().try_for_each(join)?;
            begin("both", &windows.each_ref())?;
            let counted = std::thread::scope(|scope| {
                let counters = windows.each_ref().map(|window| scope.spawn(move || self.count(window)));
                counters.map(|counter| counter.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a counter panicked"))))
            });
            let counted = counted.into_iter().collect::<Result<Vec<Value>>>()?;
            println!("{}", json!({ "end": "both", "windows": counted }));
            Ok(())
        }

        fn count(&self, window: &Window) -> Result<Value> {
            window.run_async(COUNT, &json!([["#remote", "#local"], self.seconds * 1000]))
        }

        fn pause(&self, phase: &str, windows: &[&Window], settling: u64) -> Result<()> {
            std::thread::sleep(Duration::from_secs(settling));
            begin(phase, windows)?;
            std::thread::sleep(Duration::from_secs(self.seconds));
            println!("{}", json!({ "end": phase }));
            Ok(())
        }
    }

    /// Waits until `window` shows its partner; calls first, unless it does already.
    fn join(window: &Window) -> Result<()> {
        if window.screen()? == "lobby" {
            let code = json!({ "code": "bench" });
            window.command("call_with_code", &code)?.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        }
        window.wait_for_screen("in-call")?;
        window.wait_for_pictures("#remote", 60)?;
        Ok(())
    }

    fn begin(phase: &str, windows: &[&Window]) -> Result<()> {
        let pids = windows.iter().map(|window| window.process_id()).collect::<Result<Vec<u32>>>()?;
        println!("{}", json!({ "begin": phase, "pids": pids }));
        Ok(())
    }

    /// How many pictures were shown after a later one.
    fn stale(watched: &Value) -> Result<usize> {
        let seen: Vec<u16> = serde_json::from_value(watched["seen"].clone()).context("numbers")?;
        ensure!(seen.len() > 10, "too few pictures: {watched}");
        Ok(seen.windows(2).filter(|pair| pair[1].wrapping_sub(pair[0]) >= 0x8000).count())
    }

    /// When a process was started, in Unix ms; to 10 ms, as the kernel keeps it.
    fn process_start(pid: u32) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("a name in brackets")?.1.split_whitespace().collect();
        let ticks: f64 = fields.get(19).context("a start time")?.parse()?;
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let up: f64 = uptime.split_whitespace().next().context("an uptime")?.parse()?;
        Ok(unix_ms() - up * 1e3 + ticks * 10.0)
    }

    fn unix_ms() -> f64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64() * 1e3)
    }
}
