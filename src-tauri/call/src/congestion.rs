//! Assembles the interceptor chain of a call: congestion control, pacing, loss repair, reports.

use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::{NackResponderBuilder, Registry, Slot, TwccReceiverBuilder};
use rtc::peer_connection::configuration::interceptor_registry::{
    CongestionFeedback, configure_congestion_control, configure_nack, configure_rtcp_reports,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;

use crate::bwe::Estimator;
use crate::interceptors::{KeyframeTap, NackGenerator, RepairTap, ReportTap};
use crate::link::LinkState;
use crate::pacer::PacerInterceptor;

/// How often this side reports arrival times to the partner's estimator. libwebrtc adapts between 50 and 250 ms; the short
/// end sees a queue 50 ms earlier and costs some 8 kbit/s.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);

/// Packets kept for retransmission: 3 s of a 2.5 Mbit/s stream.
const RETRANSMISSION_BUFFER: u16 = 1024;

/// The bounds of the bandwidth estimate, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkConfig {
    /// The first estimate.
    pub start_bps: u64,
    /// The estimate never goes below.
    pub min_bps: u64,
    /// The estimate never goes above.
    pub max_bps: u64,
}

impl Default for LinkConfig {
    /// A start that the smallest usable link carries, and a ceiling for 720p30.
    fn default() -> Self {
        Self {
            start_bps: 600_000,
            min_bps: 60_000,
            max_bps: 2_500_000,
        }
    }
}

/// Why the chain could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum CongestionError {
    /// The bounds contradict each other.
    #[error("bitrate bounds out of order: min {} ≤ start {} ≤ max {} bit/s does not hold", .0.min_bps, .0.start_bps, .0.max_bps)]
    Bounds(LinkConfig),
    /// The media engine refused a header extension.
    #[error("the media engine refused a header extension")]
    MediaEngine(#[from] rtc::shared::error::Error),
}

/// Registers feedback and header extensions on `media_engine` and assembles the chain around them.
///
/// Call it after the codecs are registered (feedback types attach to codecs) and without `video/rtx`: NACK repairs in the
/// original stream. The returned [`LinkState`] is where the encoder reads its target and the statistics their figures.
///
/// # Errors
/// [`CongestionError::Bounds`] if not `min ≤ start ≤ max` with `min > 0`; [`CongestionError::MediaEngine`] if a header
/// extension cannot be registered.
pub fn register(
    media_engine: &mut MediaEngine,
    config: LinkConfig,
) -> Result<(Registry, Arc<LinkState>), CongestionError> {
    let LinkConfig {
        start_bps,
        min_bps,
        max_bps,
    } = config;
    if min_bps == 0 || min_bps > start_bps || start_bps > max_bps {
        return Err(CongestionError::Bounds(config));
    }

    let link = Arc::new(LinkState::new(start_bps));
    let registry = configure_nack(Registry::new(), media_engine);
    let registry = configure_rtcp_reports(registry);
    let estimator = Estimator::new(config, Arc::clone(&link));
    let registry =
        configure_congestion_control(registry, estimator, CongestionFeedback::Twcc, media_engine)?;
    let registry = registry
        .with(Slot::Pacer, PacerInterceptor::new(Arc::clone(&link)))
        .with(
            Slot::NackResponder,
            NackResponderBuilder::new()
                .with_size(RETRANSMISSION_BUFFER)
                .build(),
        )
        .with(Slot::NackGenerator, NackGenerator::new(Arc::clone(&link)))
        .with(
            Slot::TwccReceiver,
            TwccReceiverBuilder::new()
                .with_interval(FEEDBACK_INTERVAL)
                .build(),
        )
        .with(REPORT_TAP, ReportTap::new(Arc::clone(&link)))
        .with(REPAIR_TAP, RepairTap::new(Arc::clone(&link)))
        .with(KEYFRAME_TAP, KeyframeTap::new(Arc::clone(&link)));

    Ok((registry, link))
}

/// Wire side of every report generator, so that outbound reports pass it with their final content.
const REPORT_TAP: Slot = Slot::Custom(2_500);
/// Between the wire and the NACK generator: sees arrivals as they come and requests as they leave.
const REPAIR_TAP: Slot = Slot::Custom(6_500);
/// The last before the application.
const KEYFRAME_TAP: Slot = Slot::Custom(14_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_filled_once() {
        let (registry, link) = register(&mut MediaEngine::default(), LinkConfig::default())
            .expect("defaults are valid");
        let names: Vec<String> = registry.slots().into_iter().map(|(_, name)| name).collect();

        for own in [
            "PacerInterceptor",
            "NackGenerator",
            "ReportTap",
            "RepairTap",
            "KeyframeTap",
        ] {
            assert_eq!(
                names.iter().filter(|name| *name == own).count(),
                1,
                "{own} sits in the chain once: {names:?}"
            );
        }

        assert_eq!(
            link.target_bps(),
            LinkConfig::default().start_bps,
            "the first target is the start rate"
        );
    }

    #[test]
    fn contradicting_bounds_are_refused() {
        for (start_bps, min_bps, max_bps) in [(1, 0, 2), (1, 2, 3), (4, 2, 3)] {
            let config = LinkConfig {
                start_bps,
                min_bps,
                max_bps,
            };

            let result = register(&mut MediaEngine::default(), config);
            assert!(
                matches!(result, Err(CongestionError::Bounds(_))),
                "{config:?} must be refused"
            );
        }
    }
}
