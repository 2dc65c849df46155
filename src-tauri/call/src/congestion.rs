//! Assembles the interceptor chain of a call: congestion control, pacing, loss repair, reports.

use std::sync::Arc;
use std::time::Duration;

use rtc::interceptor::{NackResponderBuilder, Registry, Slot, TwccReceiverBuilder};
use rtc::peer_connection::configuration::interceptor_registry::{
    CongestionFeedback, configure_congestion_control, configure_nack, configure_rtcp_reports,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;

use crate::bwe::Estimator;
use crate::interceptors::{
    Declared, FloodGuard, KeyframeTap, NackGenerator, PassThrough, RepairTap, ReportTap,
};
pub use crate::link::BitrateBounds;
use crate::link::LinkState;
use crate::pacer::PacerInterceptor;

/// How often this side reports arrival times to the partner's estimator. libwebrtc adapts between
/// 50 and 250 ms. The short end notices a queue earlier, and costs about 8 kbit/s.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);

/// Packets kept for retransmission: 3 s of a 2.5 Mbit/s stream.
const RETRANSMISSION_BUFFER: u16 = 1024;

/// Before everything else that looks at what arrives.
const FLOOD_GUARD: Slot = Slot::Custom(500);
/// On the wire side of every report generator, so that outbound reports pass with their final
/// content.
const REPORT_TAP: Slot = Slot::Custom(2_500);
/// Between the wire and the NACK generator: sees packets as they arrive and requests as they leave.
const REPAIR_TAP: Slot = Slot::Custom(6_500);
/// The last one before the application.
const KEYFRAME_TAP: Slot = Slot::Custom(14_000);

/// Why the chain could not be assembled.
#[derive(Debug, thiserror::Error)]
pub enum CongestionError {
    /// The bounds contradict each other.
    #[error(
        "bitrate bounds are out of order: 0 < min {} ≤ start {} ≤ max {} bit/s does not hold",
        .0.min_bps, .0.start_bps, .0.max_bps
    )]
    Bounds(BitrateBounds),
    /// The media engine rejected a header extension.
    #[error("the media engine rejected a header extension")]
    MediaEngine(#[from] rtc::shared::error::Error),
}

/// [`register_with`], for tests and benchmarks: the library alone says which streams there are.
///
/// # Errors
/// As there.
#[cfg(any(test, feature = "internals"))]
pub fn register(
    media_engine: &mut MediaEngine,
    config: BitrateBounds,
) -> Result<(Registry, Arc<LinkState>), CongestionError> {
    register_with(media_engine, config, &Declared::default())
}

/// Registers feedback types and header extensions on `media_engine` and assembles the interceptor
/// chain.
///
/// Call it after the codecs are registered, because feedback types attach to codecs, and without
/// `video/rtx`: retransmissions use the original stream. The encoder reads its target from the
/// returned [`LinkState`], and the statistics their figures.
///
/// `declared`: the partner's streams.
///
/// # Errors
/// [`CongestionError::Bounds`] unless `0 < min ≤ start ≤ max`; [`CongestionError::MediaEngine`] if
/// a header extension cannot be registered.
pub(crate) fn register_with(
    media_engine: &mut MediaEngine,
    config: BitrateBounds,
    declared: &Declared,
) -> Result<(Registry, Arc<LinkState>), CongestionError> {
    if !config.is_in_order() {
        return Err(CongestionError::Bounds(config));
    }

    let link = Arc::new(LinkState::new(config.start()));
    let registry = configure_nack(Registry::new(), media_engine);
    let registry = configure_rtcp_reports(registry);

    let estimator = Estimator::new(config, Arc::clone(&link));
    let registry =
        configure_congestion_control(registry, estimator, CongestionFeedback::Twcc, media_engine)?;

    let registry = registry
        .with(
            FLOOD_GUARD,
            PassThrough::new(FloodGuard::new(Arc::clone(&link))),
        )
        .with(Slot::Pacer, PacerInterceptor::new(Arc::clone(&link)))
        .with(
            Slot::NackResponder,
            NackResponderBuilder::new()
                .with_size(RETRANSMISSION_BUFFER)
                .build(),
        )
        .with(
            Slot::NackGenerator,
            PassThrough::new(NackGenerator::new(Arc::clone(&link), declared.clone())),
        )
        .with(
            Slot::TwccReceiver,
            TwccReceiverBuilder::new()
                .with_interval(FEEDBACK_INTERVAL)
                .build(),
        )
        .with(
            REPORT_TAP,
            PassThrough::new(ReportTap::new(Arc::clone(&link))),
        )
        .with(
            REPAIR_TAP,
            PassThrough::new(RepairTap::new(Arc::clone(&link), declared.clone())),
        )
        .with(
            KEYFRAME_TAP,
            PassThrough::new(KeyframeTap::new(Arc::clone(&link))),
        );

    Ok((registry, link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_filled_once() {
        let (registry, link) = register(&mut MediaEngine::default(), BitrateBounds::default())
            .expect("the defaults are valid");
        let names: Vec<String> = registry.slots().into_iter().map(|(_, name)| name).collect();

        for local in [
            "PacerInterceptor",
            "PassThrough<FloodGuard>",
            "PassThrough<NackGenerator>",
            "PassThrough<ReportTap>",
            "PassThrough<RepairTap>",
            "PassThrough<KeyframeTap>",
        ] {
            assert_eq!(
                names.iter().filter(|name| *name == local).count(),
                1,
                "{local} sits in the chain exactly once: {names:?}"
            );
        }

        assert_eq!(
            link.target_bps(),
            BitrateBounds::default().start_bps,
            "the first target is the start rate"
        );
    }

    #[test]
    fn contradicting_bounds_are_rejected() {
        for (start_bps, min_bps, max_bps) in [(1, 0, 2), (1, 2, 3), (4, 2, 3)] {
            let config = BitrateBounds {
                start_bps,
                min_bps,
                max_bps,
            };

            let result = register(&mut MediaEngine::default(), config);
            assert!(
                matches!(result, Err(CongestionError::Bounds(_))),
                "{config:?} must be rejected"
            );
        }
    }
}
