//! The queue on the path, in ms: one-way delay above the lowest seen lately.
//!
//! The trend says that a queue grows or shrinks, not that it stands: a path kept half full has a slope of zero. The base
//! is the minimum over ten to twenty seconds, so that a change of route or a drift of the clocks is forgotten.

/// Half of what the base looks back on, ms.
const HALF_WINDOW_MS: f64 = 10_000.0;

/// Tracks the base delay and the queue above it.
#[derive(Debug, Default)]
pub struct QueueDelay {
    halves: Option<Halves>,
    batch: Option<Batch>,
}

#[derive(Debug, Clone, Copy)]
struct Halves {
    began_ms: f64,
    newer: f64,
    older: f64,
}

#[derive(Debug, Clone, Copy)]
struct Batch {
    min: f64,
    sum: f64,
    packets: u32,
}

/// The queue during one batch of feedback, ms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct QueueSample {
    /// What the luckiest packet waited: the standing queue, without what a frame's own packets add.
    pub standing_ms: f64,
    /// What packets waited on average.
    pub mean_ms: f64,
}

impl QueueDelay {
    /// A packet of the batch, ms on two clocks.
    pub fn on_packet(&mut self, departure_ms: f64, arrival_ms: f64) {
        let delay = arrival_ms - departure_ms;
        let fresh = Halves {
            began_ms: departure_ms,
            newer: delay,
            older: delay,
        };

        let halves = self.halves.get_or_insert(fresh);
        if departure_ms - halves.began_ms > HALF_WINDOW_MS {
            *halves = Halves {
                began_ms: departure_ms,
                newer: delay,
                older: halves.newer,
            };
        }

        halves.newer = halves.newer.min(delay);
        let batch = self.batch.get_or_insert(Batch {
            min: delay,
            sum: 0.0,
            packets: 0,
        });

        batch.min = batch.min.min(delay);
        batch.sum += delay;
        batch.packets += 1;
    }

    /// Ends the batch; `None` if no packet of it arrived.
    pub fn take(&mut self) -> Option<QueueSample> {
        let (batch, halves) = (self.batch.take()?, self.halves?);
        let base = halves.newer.min(halves.older);
        Some(QueueSample {
            standing_ms: batch.min - base,
            mean_ms: batch.sum / f64::from(batch.packets) - base,
        })
    }

    /// Takes the present delay for the base: the queue did not shrink although less was sent, so it is not a queue of ours.
    pub fn rebase(&mut self) {
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
        queue.take();

        for (departure, wait) in [(10.0, 20.0), (20.0, 40.0)] {
            queue.on_packet(departure, departure + 1_000.0 + wait);
        }

        let sample = queue.take().expect("two packets arrived");
        assert_eq!(
            sample,
            QueueSample {
                standing_ms: 20.0,
                mean_ms: 30.0
            },
            "20 and 40 ms above the base"
        );
        assert_eq!(queue.take(), None, "nothing arrived since");
    }

    #[test]
    fn a_longer_route_becomes_the_base_in_time() {
        let mut queue = QueueDelay::default();
        let mut waits = (0..400).map(|i| {
            let departure = f64::from(i) * 100.0;
            queue.on_packet(departure, departure + if i < 100 { 50.0 } else { 90.0 });
            queue.take().expect("a packet arrived").standing_ms
        });

        assert_eq!(
            waits.nth(150),
            Some(40.0),
            "at first the longer route looks like a queue"
        );
        assert_eq!(waits.last(), Some(0.0), "after 20 s it is the base");
    }
}
