//! Packet groups and the delay variation between them.
//!
//! draft-ietf-rmcat-gcc-02 §5.2 (pre-filtering) and §5.3 (arrival-time model), with the burst rule
//! of libwebrtc's `InterArrival` (`BelongsToBurst`).

/// Packets that left within this time of the first form a group.
const BURST_MS: f64 = 5.0;
/// A group that a queue released in one go is never longer than this.
const MAX_BURST_MS: f64 = 100.0;

/// How two consecutive groups differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GroupDelta {
    /// Arrival spacing minus departure spacing, ms: by how much the queue on the path grew.
    pub(super) delay_ms: f64,
    /// Arrival of the newer group's last packet, ms on the receiver's clock.
    pub(super) arrival_ms: f64,
}

/// Departure and arrival of a group's first packet, and the latest of both in the group, ms.
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

    /// Whether a packet belongs to this group.
    fn includes(&self, departure: f64, arrival: f64) -> bool {
        if departure - self.first_departure <= BURST_MS {
            return true;
        }

        // A burst: packets that waited somewhere together arrive together, whatever their spacing
        // was.
        let arrival_delta = arrival - self.arrival;
        let propagation_delta = arrival_delta - (departure - self.departure);

        propagation_delta < 0.0
            && arrival_delta <= BURST_MS
            && arrival - self.first_arrival < MAX_BURST_MS
    }
}

/// Collects packets, in order of departure, into groups.
#[derive(Debug, Default)]
pub(super) struct PacketGroups {
    current: Option<Group>,
    previous: Option<Group>,
}

impl PacketGroups {
    /// Adds a packet that left at `departure` and arrived at `arrival`: ms on two clocks, of which
    /// only differences count. If the packet begins a new group, returns the delta between the two
    /// groups before it.
    pub(super) fn on_packet(&mut self, departure: f64, arrival: f64) -> Option<GroupDelta> {
        let Some(group) = &mut self.current else {
            self.current = Some(Group::new(departure, arrival));
            return None;
        };

        if departure < group.first_departure {
            return None; // a whole group overtook it: it says nothing about the queue
        }

        if group.includes(departure, arrival) {
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

        Some(GroupDelta {
            delay_ms: arrival_delta - (complete.departure - previous.departure),
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

        // The groups end at (4.9, 55) and (34, 92): 37 ms apart on arrival, 29.1 ms on departure.
        assert!(
            (delta.delay_ms - 7.9).abs() < 1e-9,
            "the queue grew by 7.9 ms, got {}",
            delta.delay_ms
        );
    }

    #[test]
    fn packets_released_together_by_a_queue_are_one_group() {
        let mut groups = PacketGroups::default();
        let deltas = (0..10)
            .filter_map(|i| groups.on_packet(f64::from(i) * 10.0, 100.0 + f64::from(i) * 0.5))
            .count();

        assert_eq!(
            deltas, 0,
            "ten packets sent 10 ms apart that arrived within 5 ms are one burst"
        );
    }
}
