//! A link as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::plan::{Direction, Plan, Step};
use super::{Conditions, LinkSpecError, Loss, Policer, profiles, values};

/// The queue of a link with a rate, unless it says otherwise.
const DEFAULT_QUEUE: Duration = Duration::from_millis(300);
/// The bucket of a policer, unless it says otherwise, bytes: ten full packets.
const DEFAULT_BUCKET: usize = 15_000;

/// Every setting, for the message about an unknown one.
pub(crate) const KEYS: [&str; 15] = [
    "delay",
    "rtt",
    "jitter",
    "loss",
    "burst",
    "gilbert",
    "duplicate",
    "reorder",
    "reorder-by",
    "rate",
    "queue",
    "policer",
    "bucket",
    "outage",
    "seed",
];

/// The text of a link: the name of a profile, settings, timed changes, or all of them.
///
/// ```text
/// SPEC    := STEP { ";" STEP }
/// STEP    := ["@" TIME] ITEM { "," ITEM }     every step after the first has a time
/// ITEM    := PROFILE | SETTING | "rebind" | "repeat"
/// SETTING := ["up." | "down."] KEY "=" VALUE  without a direction: both
/// ```
///
/// A step changes what the steps before it have set. The steps of a profile are replaced by those
/// that follow its name. `rebind` gives the side another port. `repeat`, alone in the last step, starts again
/// from the first.
///
/// | key | value |
/// |---|---|
/// | `delay`, `rtt` | time in one direction; time there and back, half of it in each direction |
/// | `jitter` | up to this much more delay per packet, evenly distributed, in order |
/// | `loss` | share of the packets; with `burst`, in bursts of this mean length (Gilbert) |
/// | `gilbert` | `TO_BAD/TO_GOOD/LOSS`: the Gilbert-Elliott chain itself |
/// | `duplicate`, `reorder`, `reorder-by` | share of the packets; how long a reordered one is held back |
/// | `rate`, `queue` | bits per second; what waits for them, as time or bytes (300 ms by default) |
/// | `policer`, `bucket` | bits per second without a queue; bytes that may exceed them (15 KB) |
/// | `outage` | `on`, `off` |
/// | `seed` | decides what chance does; in the first step |
///
/// ```
/// use tandem_link::LinkSpec;
///
/// let spec: LinkSpec = "home-wifi,loss=3%;@10s outage=on;@12s outage=off".parse().unwrap();
/// assert_eq!(spec.plan().steps().len(), 3);
/// assert!("home-wify".parse::<LinkSpec>().is_err());
/// ```
#[derive(Clone, PartialEq)]
pub struct LinkSpec {
    text: String,
    plan: Plan,
}

impl LinkSpec {
    /// What the link does when.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkSpec({:?})", self.text)
    }
}

impl FromStr for LinkSpec {
    type Err = LinkSpecError;

    fn from_str(text: &str) -> Result<Self, LinkSpecError> {
        let mut draft = Draft::default();
        for (index, step) in expand(text.trim())?.split(';').enumerate() {
            draft.step(index, step.trim())?;
        }

        Ok(Self {
            text: text.to_owned(),
            plan: draft.plan()?,
        })
    }
}

/// Puts the settings of a profile in place of its name at the beginning. Steps that were typed take
/// the place of the profile's own.
fn expand(text: &str) -> Result<String, LinkSpecError> {
    let (first, steps) = text
        .split_once(';')
        .map_or((text, None), |(first, steps)| (first, Some(steps)));
    let (name, settings) = first
        .split_once(',')
        .map_or((first, None), |(name, settings)| (name, Some(settings)));

    let name = name.trim();
    if name.is_empty() && settings.is_none() && steps.is_none() {
        return Err(LinkSpecError::Empty);
    }

    let Some(profile) = profiles::find(name) else {
        return Ok(text.to_owned());
    };

    let (profile_first, profile_steps) = profile
        .spec
        .split_once(';')
        .map_or((profile.spec, None), |(first, steps)| (first, Some(steps)));
    let first = [Some(profile_first), settings].into_iter().flatten();
    let first: Vec<&str> = first.collect();
    let parts = [
        Some(first.join(",")),
        steps.or(profile_steps).map(str::to_owned),
    ];
    Ok(parts.into_iter().flatten().collect::<Vec<_>>().join(";"))
}

/// The queue as it was typed: a time needs the rate to become bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Queue {
    Bytes(usize),
    Time(Duration),
}

/// One direction, as far as it has been read.
#[derive(Debug, Clone, Copy, Default)]
struct Half {
    conditions: Conditions,
    loss: f64,
    burst: Option<f64>,
    /// The loss as `gilbert` gave it, instead of the two above.
    chain: Option<Loss>,
    queue: Option<Queue>,
    bucket: Option<usize>,
}

#[derive(Debug, Default)]
struct Draft {
    halves: [Half; 2],
    steps: Vec<Step>,
    repeat: Option<Duration>,
    seed: u64,
}

impl Draft {
    fn plan(self) -> Result<Plan, LinkSpecError> {
        if self.steps.is_empty() {
            return Err(LinkSpecError::Empty);
        }

        Ok(Plan {
            steps: self.steps,
            repeat: self.repeat,
            seed: self.seed,
        })
    }

    fn step(&mut self, index: usize, text: &str) -> Result<(), LinkSpecError> {
        if self.repeat.is_some() {
            return Err(LinkSpecError::RepeatNotLast);
        }

        let (at, items) = match text.strip_prefix('@') {
            None if index == 0 => (Duration::ZERO, text),
            None => return Err(LinkSpecError::BadStep(text.to_owned())),
            Some(rest) => {
                let (time, items) = rest.split_once(' ').unwrap_or((rest, ""));
                let at = values::time(time).ok_or_else(|| LinkSpecError::BadStep(text.into()))?;
                self.check_order(index, at, time)?;
                (at, items.trim())
            }
        };

        if items.is_empty() {
            return Err(if index == 0 {
                LinkSpecError::Empty
            } else {
                LinkSpecError::BadStep(text.to_owned())
            });
        }

        if items == "repeat" && index > 0 {
            self.repeat = Some(at);
            return Ok(());
        }

        // A link that begins with a timed step is perfect until then.
        if index == 0 && at > Duration::ZERO {
            self.finish_step(Duration::ZERO, false)?;
        }

        let mut rebind = false;
        for item in items.split(',').map(str::trim) {
            if item == "rebind" {
                rebind = true;
            } else if item == "repeat" {
                return Err(LinkSpecError::RepeatNotLast);
            } else {
                self.item(item)?;
            }
        }

        self.finish_step(at, rebind)
    }

    fn check_order(&self, index: usize, at: Duration, time: &str) -> Result<(), LinkSpecError> {
        let last = self.steps.last().map(|step| step.at);
        if index > 0 && last.is_some_and(|last| at <= last) {
            return Err(LinkSpecError::StepOrder(time.to_owned()));
        }

        Ok(())
    }

    fn finish_step(&mut self, at: Duration, rebind: bool) -> Result<(), LinkSpecError> {
        for half in &mut self.halves {
            half.finish()?;
        }

        self.check_whole()?;

        self.steps.push(Step {
            at,
            conditions: self.halves.map(|half| half.conditions),
            rebind,
        });

        Ok(())
    }

    /// Finds settings that need another one, which neither direction has.
    fn check_whole(&self) -> Result<(), LinkSpecError> {
        let [up, down] = &self.halves;
        let conditions = [up.conditions, down.conditions];

        let queue = up.queue.or(down.queue);
        if let Some(Queue::Time(time)) = queue
            && conditions.iter().all(|one| one.rate_bps.is_none())
        {
            let text = format!("{}ms", time.as_millis());
            return Err(LinkSpecError::QueueWithoutRate(text));
        }

        if up.bucket.or(down.bucket).is_some() && conditions.iter().all(|one| one.policer.is_none())
        {
            return Err(LinkSpecError::BucketWithoutPolicer);
        }

        Ok(())
    }

    fn item(&mut self, item: &str) -> Result<(), LinkSpecError> {
        let Some((key, value)) = item.split_once('=') else {
            let name = item.to_owned();
            return Err(match profiles::find(item) {
                None => LinkSpecError::UnknownName(name),
                Some(_) => LinkSpecError::NameNotFirst(name),
            });
        };

        let (halves, name) = match key.split_once('.') {
            Some(("up", name)) => (&Direction::BOTH[..1], name),
            Some(("down", name)) => (&Direction::BOTH[1..], name),
            Some(_) => return Err(LinkSpecError::UnknownKey(key.to_owned())),
            None => (&Direction::BOTH[..], key),
        };

        let bad = |expected| LinkSpecError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        };

        if name == "seed" || name == "rtt" {
            if halves.len() == 1 {
                return Err(LinkSpecError::NoDirection(key.to_owned()));
            }

            if name == "seed" {
                self.seed = value.parse().map_err(|_| bad(values::SEED))?;
                return Ok(());
            }
        }

        for direction in halves {
            self.halves[direction.index()]
                .set(name, value)
                .map_err(|problem| match problem {
                    Problem::Key => LinkSpecError::UnknownKey(key.to_owned()),
                    Problem::Value(expected) => bad(expected),
                })?;
        }

        Ok(())
    }
}

enum Problem {
    Key,
    Value(&'static str),
}

impl Half {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        fn need<T>(value: Option<T>, expected: &'static str) -> Result<T, Problem> {
            value.ok_or(Problem::Value(expected))
        }

        let time = || need(values::time(value), values::TIME);
        let share = || need(values::share(value), values::SHARE);
        let rate = || match value {
            "none" => Ok(None),
            _ => need(values::rate(value), values::RATE).map(Some),
        };

        let conditions = &mut self.conditions;
        match key {
            "delay" => conditions.delay = time()?,
            "rtt" => conditions.delay = time()? / 2,
            "jitter" => conditions.jitter = time()?,
            "loss" => (self.loss, self.chain) = (share()?, None),
            "burst" => self.burst = Some(need(values::burst(value), values::BURST)?),
            "gilbert" => self.chain = Some(need(gilbert(value), values::GILBERT)?),
            "duplicate" => conditions.duplicate = share()?,
            "reorder" => conditions.reorder = share()?,
            "reorder-by" => conditions.reorder_by = time()?,
            "rate" => conditions.rate_bps = rate()?,
            "queue" => {
                let bytes = values::size(value).map(Queue::Bytes);
                let queue = bytes.or_else(|| values::time(value).map(Queue::Time));
                self.queue = Some(need(queue, values::QUEUE)?);
            }
            "policer" => {
                conditions.policer = rate()?.map(|rate_bps| Policer {
                    rate_bps,
                    bucket_bytes: DEFAULT_BUCKET,
                });
            }
            "bucket" => self.bucket = Some(need(values::size(value), values::SIZE)?),
            "outage" => conditions.up = !need(values::switch(value), values::SWITCH)?,
            _ => return Err(Problem::Key),
        }

        Ok(())
    }

    /// Works out what depends on several settings.
    fn finish(&mut self) -> Result<(), LinkSpecError> {
        self.conditions.loss = match self.chain {
            Some(chain) => chain,
            None => loss(self.loss, self.burst)?,
        };

        self.conditions.queue_bytes = match (self.conditions.rate_bps, self.queue) {
            (None, _) => usize::MAX,
            (Some(_), Some(Queue::Bytes(bytes))) => bytes,
            (Some(rate), queue) => {
                let time = match queue {
                    Some(Queue::Time(time)) => time,
                    _ => DEFAULT_QUEUE,
                };
                (rate as f64 / 8.0 * time.as_secs_f64()) as usize
            }
        };

        if self.conditions.rate_bps.is_some() {
            // A queue's size is fixed: later steps change the rate, not the memory before it.
            self.queue = Some(Queue::Bytes(self.conditions.queue_bytes));
        }

        if let Some(policer) = &mut self.conditions.policer {
            policer.bucket_bytes = self.bucket.unwrap_or(DEFAULT_BUCKET);
        }

        Ok(())
    }
}

/// Loss of this mean, in bursts of this mean length: the bad state of the chain loses everything.
fn loss(mean: f64, burst: Option<f64>) -> Result<Loss, LinkSpecError> {
    let Some(burst) = burst.filter(|burst| *burst > 1.0 && mean > 0.0 && mean < 1.0) else {
        return Ok(if mean > 0.0 {
            Loss::Random(mean)
        } else {
            Loss::None
        });
    };

    // In the long run, the chain is bad for to_bad / (to_bad + to_good) of the packets.
    let to_good = 1.0 / burst;
    let to_bad = to_good * mean / (1.0 - mean);
    if to_bad > 1.0 {
        return Err(LinkSpecError::BurstTooShort {
            burst: burst.to_string(),
            loss: (mean * 100.0).to_string(),
        });
    }

    Ok(Loss::GilbertElliott {
        to_bad,
        to_good,
        bad_loss: 1.0,
    })
}

fn gilbert(text: &str) -> Option<Loss> {
    let mut parts = text.split('/').map(values::share);
    let loss = Loss::GilbertElliott {
        to_bad: parts.next()??,
        to_good: parts.next()??,
        bad_loss: parts.next()??,
    };

    parts.next().is_none().then_some(loss)
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
