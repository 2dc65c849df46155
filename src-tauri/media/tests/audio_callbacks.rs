//! Checks that device callbacks do not allocate. The counting allocator needs a test binary of its
//! own.
#![allow(
    clippy::disallowed_methods,
    reason = "tests start from the current time"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_media::audio::device::bridge::{CaptureBridge, PlaybackBridge};
use tandem_media::audio::device::callback::{
    CaptureCallback, CaptureSink, PlaybackCallback, StreamClock,
};
use tandem_media::audio::device::meter::{MeterBridge, MeterCallback};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting calls per thread.
struct Counting;

// SAFETY: every call goes to the system's allocator unchanged. Counting touches only a
// constant-initialized thread-local cell, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count() {
    let _ = ALLOCATIONS.try_with(|counter| counter.set(counter.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates or frees.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_allocator_counts_allocations_and_frees() {
    let count = allocations(|| drop(std::hint::black_box(vec![1u8; 100])));
    assert_eq!(count, 2, "a vector is allocated and freed");
}

#[test]
fn the_path_from_a_microphone_does_not_allocate() {
    let epoch = Instant::now();
    let clock = Arc::new(StreamClock::new(epoch));
    let (producer, consumer) = rtrb::RingBuffer::new(22_050);
    let mut callback = CaptureCallback::new(producer, Arc::clone(&clock), 2);
    let mut bridge = CaptureBridge::new(consumer, clock, 44_100).unwrap();
    let data = vec![100i16; 2 * 882];
    let mut block = [0.0; 480];
    let count = allocations(|| {
        for call in 1..500u32 {
            let now = epoch + Duration::from_millis(20) * call;
            callback.run(&data, now, Duration::from_millis(20));
            bridge.pull(now, &mut block);
            bridge.pull(now + Duration::from_millis(10), &mut block);
        }

        // Then an overflow: nothing drains the ring.
        for call in 500..600u32 {
            callback.run(
                &data,
                epoch + Duration::from_millis(20) * call,
                Duration::from_millis(20),
            );
        }
    });

    assert_eq!(
        count, 0,
        "neither the callback nor the bridge touches the heap"
    );
    assert!(bridge.counts().underruns == 0, "audio flowed without a gap");
}

#[test]
fn the_path_to_a_level_meter_does_not_allocate() {
    let epoch = Instant::now();
    let bridge = MeterBridge::new(Arc::new(StreamClock::new(epoch)));
    let mut callback = MeterCallback::new(&bridge, 44_100, 2);
    let data = vec![16_384i16; 2 * 882];
    let count = allocations(|| {
        for call in 1..500u32 {
            callback.run(
                &data,
                epoch + Duration::from_millis(20) * call,
                Duration::from_millis(20),
            );
        }
    });

    assert_eq!(count, 0, "the callback does not touch the heap");
    assert!(
        (bridge.level(epoch + Duration::from_millis(20) * 500).rms - 0.5).abs() < 1e-3,
        "the level was measured"
    );
}

#[test]
fn the_path_to_a_speaker_does_not_allocate() {
    let epoch = Instant::now();
    let clock = Arc::new(StreamClock::new(epoch));
    let (producer, consumer) = rtrb::RingBuffer::new(22_050);
    let mut callback = PlaybackCallback::new(consumer, Arc::clone(&clock), 2);
    let mut bridge = PlaybackBridge::new(producer, clock, 44_100).unwrap();
    let mut data = vec![0i16; 2 * 882];
    let block = [0.1; 480];
    let count = allocations(|| {
        for call in 0..500u32 {
            let now = epoch + Duration::from_millis(20) * call;
            callback.run(&mut data, now, Duration::from_millis(20));
            bridge.push(now, &block);
            bridge.push(now + Duration::from_millis(10), &block);
        }

        // Then a gap: nothing fills the ring.
        for call in 500..600u32 {
            callback.run(
                &mut data,
                epoch + Duration::from_millis(20) * call,
                Duration::from_millis(20),
            );
        }

        // Then the sound is stopped while the ring holds some.
        bridge.push(epoch + Duration::from_secs(12), &block);
        bridge.silence();
        callback.run(
            &mut data,
            epoch + Duration::from_secs(12),
            Duration::from_millis(20),
        );
    });

    assert_eq!(
        count, 0,
        "neither the callback nor the bridge touches the heap"
    );
}

#[test]
fn errors_are_reported_without_allocating() {
    let clock = StreamClock::new(Instant::now());
    let count = allocations(|| {
        for _ in 0..100_000 {
            clock.report(cpal::ErrorKind::DeviceNotAvailable);
        }
    });

    assert_eq!(
        count, 0,
        "reporting does not allocate: a dying sound server reports 100,000s of errors"
    );
}
