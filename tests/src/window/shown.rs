//! What a window shows of a call whose video stops and comes back: the overlay, and whether frames
//! were missing under it.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Window;
use crate::process::wait_until;

/// The overlay may come after this silence, and stay for this long once frames come again, ms: the
/// silence of two seconds that the call reports, and what a busy machine adds.
const EARLIEST_MS: u64 = 1_700;
const LATEST_MS: u64 = 1_000;

/// Notes every 50 ms whether the partner's video has moved and what the overlay says.
///
/// # Errors
/// When the page does not answer.
pub fn watch(window: &Window) -> Result<()> {
    let script = "
        const samples = [];
        window.samples = samples;
        let before = 0;
        setInterval(() => {
            const canvas = document.querySelector('#remote');
            if (!canvas || !canvas.width) return;
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let sum = 0;
            for (let at = 0; at < data.length; at += 389) sum = (sum * 31 + data[at]) >>> 0;
            const overlay = document.querySelector('[data-badge=reconnecting]');
            samples.push([Math.round(performance.now()), sum !== before, overlay ? overlay.innerText : '']);
            before = sum;
        }, 50);";
    window.run(script, &json!([])).map(drop)
}

/// What the window has shown.
#[derive(Debug)]
pub struct Shown {
    /// The longest time without another frame, ms.
    pub gap: u64,
    /// When an overlay came, and the time without a frame before, ms.
    pub overlays: Vec<(u64, u64)>,
    /// How long an overlay stayed after frames had come again, ms.
    pub late: u64,
    /// What it said: the first and the last text.
    pub texts: Option<[String; 2]>,
}

impl Shown {
    /// What was shown since [`watch`] began, or since this was asked the last time.
    ///
    /// # Errors
    /// When the page does not answer.
    pub fn read(window: &Window) -> Result<Self> {
        let samples = window.run("return window.samples.splice(0);", &json!([]))?;
        let samples = samples
            .as_array()
            .context("not a list")?
            .iter()
            .map(|sample| {
                let at = sample[0].as_u64().context("not a time")?;
                let text = sample[2].as_str().unwrap_or_default().to_owned();
                Ok((at, sample[1] == Value::Bool(true), text))
            });
        let samples = samples.collect::<Result<Vec<(u64, bool, String)>>>()?;
        let mut moved_at = samples.first().map_or(0, |(at, ..)| *at);

        let mut shown = Self {
            gap: 0,
            overlays: Vec::new(),
            late: 0,
            texts: None,
        };
        let mut back_at = None;
        let mut is_over = false;
        for (at, has_moved, text) in samples {
            let gap = at - moved_at;
            if has_moved {
                shown.gap = shown.gap.max(gap);
                moved_at = at;
            }

            let was_over = std::mem::replace(&mut is_over, !text.is_empty());
            if is_over && !was_over {
                shown.overlays.push((at, gap));
            }

            // One frame may come of what was still on its way.
            back_at = back_at.filter(|_| is_over).or(has_moved.then_some(at));
            if is_over && let Some(back_at) = back_at {
                shown.late = shown.late.max(at - back_at);
            }

            if !text.is_empty() {
                let [first, _] = shown.texts.unwrap_or_else(|| [text.clone(), String::new()]);
                shown.texts = Some([first, text]);
            }
        }

        Ok(shown)
    }

    /// Checks that the overlay was there only while frames were missing.
    ///
    /// # Panics
    /// When it was over video that moved.
    pub fn assert_only_over_still_video(&self, what: &str) {
        for (at, silence) in &self.overlays {
            assert!(*silence >= EARLIEST_MS, "{what}: over video, at {at} ms");
        }

        assert!(self.late <= LATEST_MS, "{what}: over video that is back");
    }
}

/// Waits until there is no overlay and the partner's video has moved in ten of the last twenty samples,
/// whatever it shows.
///
/// # Errors
/// When it does not move again within [`TIMEOUT`](super::TIMEOUT).
pub fn wait_until_moving(window: &Window) -> Result<()> {
    let script = "
        const last = window.samples.slice(-20);
        const moved = last.filter(([, hasMoved, overlay]) => hasMoved && !overlay);
        return moved.length >= 10 && !last.at(-1)[2];";
    wait_until("the partner's video moves", super::TIMEOUT, || {
        window
            .run(script, &json!([]))
            .ok()?
            .as_bool()?
            .then_some(())
    })
}
