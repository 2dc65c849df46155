//! Packet groups and the delay variation between them (draft-ietf-rmcat-gcc-02 §5.2–5.3).

/// Packets that left within this time of the first form a group.
const BURST_MS: f64 = 5.0;
/// A group that a queue released in one go is never longer than this.
const MAX_BURST_MS: f64 = 100.0;

/// How two neighbouring groups differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupDelta {
    /// Arrival spacing minus departure spacing, ms: what the path's queue grew by.
    pub delay_ms: f64,
    /// Arrival of the newer group's last packet, ms on the receiver's clock.
    pub arrival_ms: f64,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_departure: f64,
    first_arrival: f64,
    departure: f64,
    arrival: f64,
}

impl Group {
    fn new(departure: f64, arrival: f64) -> Self {
        Self {
            first_departure: departure,
            first_arrival: arrival,
            departure,
            arrival,
        }
    }

    fn takes(&self, departure: f64, arrival: f64) -> bool {
        if departure - self.first_departure <= BURST_MS {
            return true;
        }

        // A burst: packets that waited somewhere together arrive together, whatever their spacing was.
        let arrival_delta = arrival - self.arrival;
        let propagation_delta = arrival_delta - (departure - self.departure);
        propagation_delta < 0.0
            && arrival_delta <= BURST_MS
            && arrival - self.first_arrival < MAX_BURST_MS
    }
}

/// Gathers packets, in order of departure, into groups.
#[derive(Debug, Default)]
pub struct PacketGroups {
    current: Option<Group>,
    previous: Option<Group>,
}

impl PacketGroups {
    /// A packet that left at `departure` and arrived at `arrival`, ms on two clocks of which only differences count.
    /// Returns the delta between the two newest whole groups when this packet begins another.
    pub fn on_packet(&mut self, departure: f64, arrival: f64) -> Option<GroupDelta> {
        let Some(group) = &mut self.current else {
            self.current = Some(Group::new(departure, arrival));
            return None;
        };

        if departure < group.first_departure {
            return None; // overtaken by a whole group: it says nothing about the queue
        }

        if group.takes(departure, arrival) {
            group.departure = group.departure.max(departure);
            group.arrival = group.arrival.max(arrival);
            return None;
        }

        let complete = std::mem::replace(group, Group::new(departure, arrival));
        let previous = self.previous.replace(complete)?;
        let arrival_delta = complete.arrival - previous.arrival;

        if arrival_delta < 0.0 {
            return None; // reordered on the way
        }

        let delay_ms = arrival_delta - (complete.departure - previous.departure);
        Some(GroupDelta {
            delay_ms,
            arrival_ms: complete.arrival,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_burst_form_one_group() {
        let mut groups = PacketGroups::default();
        let deltas: Vec<_> = [
            (0.0, 50.0),
            (2.0, 52.0),
            (4.9, 55.0),
            (33.0, 90.0),
            (34.0, 92.0),
            (66.0, 120.0),
        ]
        .into_iter()
        .filter_map(|(departure, arrival)| groups.on_packet(departure, arrival))
        .collect();
        let [delta] = deltas[..] else {
            panic!("two whole groups make one delta, got {deltas:?}")
        };

        // Groups end at (4.9, 55) and (34, 92): 37 ms apart on arrival, 29.1 on departure.
        assert!(
            (delta.delay_ms - 7.9).abs() < 1e-9,
            "the queue grew by 7.9 ms, got {}",
            delta.delay_ms
        );
    }

    #[test]
    fn what_a_queue_released_together_is_one_group() {
        let mut groups = PacketGroups::default();
        let deltas = (0..10)
            .filter_map(|i| groups.on_packet(f64::from(i) * 10.0, 100.0 + f64::from(i) * 0.5))
            .count();
        assert_eq!(
            deltas, 0,
            "ten packets 10 ms apart that arrived within 5 ms are one burst"
        );
    }
}
