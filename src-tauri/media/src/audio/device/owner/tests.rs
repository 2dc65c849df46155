//! Devices that die, refuse and return, without any of this machine's.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

use cpal::ErrorKind;
use parking_lot::Mutex;

use super::*;
use crate::error::MediaErrorCode;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A bridge to nothing.
struct FakeBridge {
    name: Option<String>,
    clock: Arc<StreamClock>,
}

impl DeviceBridge for FakeBridge {
    fn stream_clock(&self) -> &StreamClock {
        &self.clock
    }

    fn bridge_counts(&self) -> DeviceCounts {
        DeviceCounts::default()
    }
}

/// A microphone called "Desk", and the default one.
struct Rig {
    owner: DeviceOwner<FakeBridge>,
    desk_is_there: Arc<Mutex<bool>>,
    /// Added to the real time, so that nobody waits for timers.
    skipped: Duration,
    reports: Vec<MediaErrorCode>,
}

impl Rig {
    fn new(name: Option<&str>, desk_is_there: bool) -> Self {
        let there = Arc::new(Mutex::new(desk_is_there));
        let (opened, asked) = (Arc::clone(&there), Arc::clone(&there));
        let open = move |name: Option<&str>| -> Result<Opened<FakeBridge>, DeviceError> {
            if name.is_some() && !*opened.lock() {
                return Err(choose::error_codes(Direction::Capture).unknown("Desk"));
            }

            let bridge = FakeBridge {
                name: name.map(str::to_owned),
                clock: Arc::new(StreamClock::new(Instant::now())),
            };
            Ok((Box::new(()), bridge))
        };
        let owner = DeviceOwner::new(
            Direction::Capture,
            name.map(str::to_owned),
            Arc::new(open),
            Arc::new(move |_: &str| *asked.lock()),
            None,
        );

        Self {
            owner,
            desk_is_there: there,
            skipped: Duration::ZERO,
            reports: Vec::new(),
        }
    }

    /// Polls until `done` accepts what is open. Skips `step` each time while something is.
    fn until(&mut self, what: &str, step: Duration, done: impl Fn(&mut Self) -> bool) {
        let deadline = Instant::now() + TIMEOUT;
        while !done(self) {
            assert!(Instant::now() < deadline, "{what} does not come");
            if self.owner.bridge().is_some() {
                self.skipped += step;
            }

            let now = Instant::now() + self.skipped;
            if let Some(bridge) = self.owner.bridge() {
                bridge.clock.record(now, 480, Duration::ZERO);
            }

            if let Err(error) = self.owner.poll(now).map(drop) {
                self.reports.push(error.code);
            }

            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn until_open(&mut self, name: Option<&str>) {
        let name = name.map(str::to_owned);
        self.until("an open device", Duration::ZERO, |rig| {
            rig.owner.bridge().is_some_and(|bridge| bridge.name == name)
        });
    }

    fn kill(&self) {
        let bridge = self.owner.bridge().expect("something is open");
        bridge.clock.report(ErrorKind::DeviceNotAvailable);
    }
}

#[test]
fn the_default_device_stands_in_for_one_that_is_unplugged_until_it_is_back() {
    let mut rig = Rig::new(Some("Desk"), true);
    rig.until_open(Some("Desk"));
    *rig.desk_is_there.lock() = false;
    rig.kill();

    rig.until_open(None);
    assert_eq!(
        rig.reports,
        [MediaErrorCode::MicUnplugged],
        "the user knows, once"
    );
    rig.until("its recovery", Duration::from_millis(200), |rig| {
        rig.owner.take_is_back()
    });

    *rig.desk_is_there.lock() = true;
    rig.until("the chosen one", Duration::from_millis(200), |rig| {
        let bridge = rig.owner.bridge();
        bridge.is_some_and(|bridge| bridge.name.is_some())
    });
    assert_eq!(rig.reports.len(), 1, "nothing was wrong after that");
}

#[test]
fn five_deaths_in_a_row_are_reported_and_not_the_end() {
    let mut rig = Rig::new(None, true);
    for _ in 0..5 {
        rig.until_open(None);
        rig.kill();
        let now = Instant::now() + rig.skipped;
        rig.reports
            .extend(rig.owner.poll(now).err().map(|error| error.code));
    }

    assert_eq!(rig.reports, [MediaErrorCode::MicUnplugged]);
    rig.until_open(None);
    rig.until("its recovery", Duration::from_millis(200), |rig| {
        rig.owner.take_is_back()
    });
}

#[test]
fn a_device_that_was_never_there_is_not_replaced_and_found_when_the_user_asks() {
    let mut rig = Rig::new(Some("Desk"), false);
    rig.until("the report", Duration::ZERO, |rig| !rig.reports.is_empty());
    assert_eq!(rig.reports, [MediaErrorCode::MicNotFound]);

    *rig.desk_is_there.lock() = true;
    rig.owner.retry();
    let asked = Instant::now();
    rig.until_open(Some("Desk"));
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "sooner than by itself"
    );
}
