//! The standing queue on the path, in ms: one-way delay above the lowest seen recently.
//!
//! The trend shows that a queue grows or shrinks, but not that it stands still: a path kept half
//! full has a slope of zero. The base is the minimum over the last ten to twenty seconds, so that a
//! change of route or a drift of the clocks is forgotten.

/// Half of the time over which the base is taken, ms.
const HALF_WINDOW_MS: f64 = 10_000.0;

/// Tracks the base delay and the queue above it.
#[derive(Debug, Default)]
pub(super) struct QueueDelay {
    halves: Option<Halves>,
    /// Lowest delay in the current batch of feedback, ms.
    batch_min: Option<f64>,
}

/// The lowest delay in the current half window and in the one before, ms.
#[derive(Debug, Clone, Copy)]
struct Halves {
    began_ms: f64,
    newer: f64,
    older: f64,
}

impl QueueDelay {
    /// Records a packet of the current batch. The two times are in ms on two different clocks.
    pub(super) fn on_packet(&mut self, departure_ms: f64, arrival_ms: f64) {
        let delay = arrival_ms - departure_ms;
        let halves = self.halves.get_or_insert(Halves {
            began_ms: departure_ms,
            newer: delay,
            older: delay,
        });

        if departure_ms - halves.began_ms > HALF_WINDOW_MS {
            *halves = Halves {
                began_ms: departure_ms,
                newer: delay,
                older: halves.newer,
            };
        }

        halves.newer = halves.newer.min(delay);
        self.batch_min = Some(self.batch_min.map_or(delay, |min| min.min(delay)));
    }

    /// Ends the batch and returns its standing queue, ms: what the luckiest packet waited, without
    /// what a frame's own packets add. `None` if no packet of the batch arrived.
    pub(super) fn take_standing_ms(&mut self) -> Option<f64> {
        let (batch_min, halves) = (self.batch_min.take()?, self.halves?);
        Some(batch_min - halves.newer.min(halves.older))
    }

    /// Makes the present delay the base: the queue did not shrink although less was sent, so it is
    /// not made of our packets.
    pub(super) fn rebase(&mut self) {
        self.halves = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_what_exceeds_the_lowest_delay() {
        let mut queue = QueueDelay::default();
        queue.on_packet(0.0, 1_000.0);
        queue.take_standing_ms();

        for (departure, wait) in [(10.0, 20.0), (20.0, 40.0)] {
            queue.on_packet(departure, departure + 1_000.0 + wait);
        }

        assert_eq!(
            queue.take_standing_ms(),
            Some(20.0),
            "the packets waited 20 and 40 ms above the base"
        );
        assert_eq!(queue.take_standing_ms(), None, "nothing arrived since");
    }

    #[test]
    fn a_longer_route_becomes_the_base_in_time() {
        let mut queue = QueueDelay::default();
        let mut waits = (0..400).map(|i| {
            let departure = f64::from(i) * 100.0;
            queue.on_packet(departure, departure + if i < 100 { 50.0 } else { 90.0 });
            queue.take_standing_ms().expect("a packet arrived")
        });

        assert_eq!(
            waits.nth(150),
            Some(40.0),
            "at first the longer route looks like a queue"
        );
        assert_eq!(waits.last(), Some(0.0), "after 20 s it is the base");
    }
}
