//! A link in both directions that follows its plan, sans-IO.

use std::time::{Duration, Instant};

use super::plan::{Direction, Plan, Step};
use super::{Link, LinkCounters};

/// Both directions of a link. `T` is the packet.
#[derive(Debug)]
pub struct Route<T> {
    plan: Plan,
    /// When the plan, or its present repetition, began.
    began: Instant,
    /// The step that comes next.
    next: usize,
    links: [Link<T>; 2],
    rebinds: u64,
}

impl<T: Clone> Route<T> {
    /// An empty route that begins its plan at `now`.
    #[must_use]
    pub fn new(now: Instant, plan: Plan) -> Self {
        let first = plan.steps[0];
        let link = |direction: Direction| {
            let index = direction.index();
            // Two links with one seed would lose the same packets.
            let seed = plan.seed.wrapping_mul(2).wrapping_add(index as u64);
            Link::new(now, first.conditions[index], seed)
        };

        Self {
            links: Direction::BOTH.map(link),
            plan,
            began: now,
            next: 1,
            rebinds: 0,
        }
    }

    /// Sends a packet of `bytes` in this direction.
    pub fn send(&mut self, now: Instant, direction: Direction, bytes: usize, packet: T) {
        self.follow_plan(now);
        self.links[direction.index()].send(now, bytes, packet);
    }

    /// The next packet that has arrived by `now` in this direction.
    pub fn poll(&mut self, now: Instant, direction: Direction) -> Option<T> {
        self.follow_plan(now);
        let (_, packet) = self.links[direction.index()].poll(now)?;
        Some(packet)
    }

    /// When a packet arrives or leaves a queue, or the next step begins.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        let packets = self.links.iter().filter_map(Link::next_event);
        packets.chain(self.next_step()).min()
    }

    /// How often the plan has asked for another port so far.
    pub fn rebinds(&mut self, now: Instant) -> u64 {
        self.follow_plan(now);
        self.rebinds
    }

    /// What has happened to the packets of this direction.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> LinkCounters {
        self.links[direction.index()].counters()
    }

    /// When the next step begins.
    fn next_step(&self) -> Option<Instant> {
        let after = match self.plan.steps.get(self.next) {
            Some(step) => step.at,
            None => self.plan.repeat?,
        };
        self.began.checked_add(after)
    }

    /// Begins the steps that are due. Each takes effect at its own time, even if this is called
    /// late.
    fn follow_plan(&mut self, now: Instant) {
        while let Some(at) = self.next_step().filter(|at| *at <= now) {
            if self.next == self.plan.steps.len() {
                (self.began, self.next) = (at, 0);
            }

            self.begin(at, self.plan.steps[self.next]);
            self.next += 1;
        }
    }

    fn begin(&mut self, at: Instant, step: Step) {
        for (link, conditions) in self.links.iter_mut().zip(step.conditions) {
            link.set_conditions(at, conditions);
        }

        self.rebinds += u64::from(step.rebind);
    }
}

impl<T> Route<T> {
    /// How long the plan has been running since it began, or began again.
    #[must_use]
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

    use super::*;
    use crate::LinkSpec;

    const MS: Duration = Duration::from_millis(1);

    fn route(spec: &str, now: Instant) -> Route<u32> {
        let spec: LinkSpec = spec.parse().expect("a link");
        Route::new(now, spec.plan().clone())
    }

    /// Sends a packet every 10 ms for `packets` and returns which arrived, and after how long.
    fn run(spec: &str, direction: Direction, packets: u32) -> Vec<(u32, Duration)> {
        let start = Instant::now();
        let (mut route, mut out) = (route(spec, start), Vec::new());

        for ms in 0..packets * 10 + 2_000 {
            let now = start + MS * ms;
            if ms % 10 == 0 && ms / 10 < packets {
                route.send(now, direction, 1_000, ms / 10);
            }

            while let Some(number) = route.poll(now, direction) {
                out.push((number, now - (start + MS * 10 * number)));
            }
        }

        out
    }

    #[test]
    fn each_direction_has_its_own_conditions() {
        let delays = |direction| {
            let out = run("up.delay=10ms,down.delay=40ms", direction, 20);
            assert_eq!(out.len(), 20, "nothing is lost");
            out.into_iter().map(|(_, delay)| delay).max()
        };

        assert_eq!(delays(Direction::Up), Some(MS * 10));
        assert_eq!(delays(Direction::Down), Some(MS * 40));
    }

    #[test]
    fn timed_steps_happen_when_they_should() {
        let out = run(
            "delay=10ms;@1s outage=on;@1.5s outage=off,delay=50ms",
            Direction::Up,
            300,
        );

        let arrived: Vec<u32> = out.iter().map(|(number, _)| *number).collect();
        // What was sent in the last 10 ms before the outage is under way already and arrives.
        let expected: Vec<u32> = (0..100).chain(150..300).collect();
        assert_eq!(arrived, expected, "an outage from 1 to 1.5 s");

        for (number, delay) in out {
            let expected = if number < 100 { MS * 10 } else { MS * 50 };
            assert_eq!(delay, expected, "packet {number}");
        }
    }

    #[test]
    fn a_plan_that_repeats_starts_again() {
        let out = run(
            "delay=0ms;@100ms outage=on;@200ms repeat",
            Direction::Down,
            100,
        );
        let arrived: Vec<u32> = out.iter().map(|(number, _)| *number).collect();
        let expected: Vec<u32> = (0..100).filter(|number| number % 20 < 10).collect();
        assert_eq!(
            arrived, expected,
            "an outage in every second tenth of a second"
        );
    }

    #[test]
    fn a_route_that_sleeps_through_its_steps_is_where_it_should_be() {
        let start = Instant::now();
        let mut route = route("delay=5ms;@1s delay=70ms;@2s rebind;@3s repeat", start);
        assert_eq!(route.next_event(), Some(start + MS * 1_000));

        let late = start + MS * 3_000 * 4 + MS * 1_500;
        route.send(late, Direction::Up, 100, 1);
        assert_eq!(
            route.poll(late + MS * 69, Direction::Up),
            None,
            "the second step of the fifth round: 70 ms"
        );
        assert_eq!(route.poll(late + MS * 70, Direction::Up), Some(1));
        assert_eq!(route.rebinds(late), 4, "once in each complete round");
        assert_eq!(route.elapsed(late), MS * 1_500);
    }

    #[test]
    fn the_directions_do_not_lose_the_same_packets() {
        let lost = |direction| {
            let out = run("loss=30%", direction, 200);
            let arrived: Vec<u32> = out.iter().map(|(number, _)| *number).collect();
            (0..200)
                .filter(|number| !arrived.contains(number))
                .collect::<Vec<_>>()
        };

        let (up, down) = (lost(Direction::Up), lost(Direction::Down));
        assert!(up.len() > 30 && down.len() > 30, "{up:?} {down:?}");
        assert_ne!(up, down);
    }
}
