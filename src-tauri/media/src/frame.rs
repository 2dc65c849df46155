//! Frames as I420 pixels from a pool, so that a running call allocates no pixels per frame.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

/// The pixels of one frame: 8-bit 4:2:0 in one allocation, with the planes Y, U and V one after
/// the other and without padding.
///
/// The luma stride is `width`, the chroma stride `(width + 1) / 2`, so odd sizes are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct I420 {
    data: Vec<u8>,
    width: u32,
    height: u32,
}

impl I420 {
    /// `width` x `height` black pixels.
    pub fn new(width: u32, height: u32) -> Self {
        let mut image = Self::default();
        image.resize(width, height);

        let luma = image.luma_len();
        image.data[..luma].fill(16);
        image.data[luma..].fill(128);

        image
    }

    fn resize(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        let len = self.luma_len() + 2 * self.chroma_len();
        self.data.resize(len, 0);
    }

    fn luma_len(&self) -> usize {
        self.width as usize * self.height as usize
    }

    fn chroma_len(&self) -> usize {
        self.chroma_width() as usize * self.chroma_height() as usize
    }

    /// Width in luma samples, which is also the luma stride in bytes.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in luma samples.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width in chroma samples, which is also the chroma stride in bytes.
    pub fn chroma_width(&self) -> u32 {
        self.width.div_ceil(2)
    }

    /// Height in chroma samples.
    pub fn chroma_height(&self) -> u32 {
        self.height.div_ceil(2)
    }

    /// All three planes as they are in memory: Y, U, V.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// All three planes as they are in memory, for writing.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The planes Y, U and V.
    pub fn planes(&self) -> (&[u8], &[u8], &[u8]) {
        let (y, chroma) = self.data.split_at(self.luma_len());
        let (u, v) = chroma.split_at(self.chroma_len());
        (y, u, v)
    }

    /// The planes Y, U and V, for writing.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let (luma, chroma) = (self.luma_len(), self.chroma_len());
        let (y, rest) = self.data.split_at_mut(luma);
        let (u, v) = rest.split_at_mut(chroma);

        (y, u, v)
    }

    /// Overwrites all pixels from the planes Y, U and V, each with its stride in bytes.
    ///
    /// # Panics
    /// If a plane is shorter than its rows need.
    pub fn copy_from_planes(&mut self, planes: [(&[u8], usize); 3]) {
        let (width, chroma_width) = (self.width as usize, self.chroma_width() as usize);
        let (y, u, v) = self.planes_mut();
        let targets = [(y, width), (u, chroma_width), (v, chroma_width)];

        for ((target, row), (source, stride)) in targets.into_iter().zip(planes) {
            if row == 0 {
                continue;
            }

            for (target, source) in target.chunks_exact_mut(row).zip(source.chunks(stride)) {
                target.copy_from_slice(&source[..row]);
            }
        }
    }
}

/// A frame on its way through the app.
#[derive(Debug, Clone)]
pub struct VideoFrame {
    /// The pixels. They are shared: an encoder, a preview and a recorder may hold the same frame.
    pub image: Arc<I420>,
    /// When a local frame was captured, or a remote frame was decoded.
    pub at: Instant,
    /// The 90 kHz RTP timestamp of a remote frame; 0 for a local one.
    pub rtp_timestamp: u32,
}

/// Hands out pixel buffers and reuses each one after its last user has dropped it.
///
/// A clone is another handle on the same pool.
#[derive(Debug, Clone, Default)]
pub struct FramePool {
    images: Arc<Mutex<Vec<Arc<I420>>>>,
}

/// How many buffers the pool keeps for reuse: one each for capture, encoder, preview and recorder,
/// and a few in flight between them.
const MAX_POOLED: usize = 12;

impl FramePool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a buffer of `width` x `height`, has `fill` write every pixel of it (they are undefined
    /// before), and returns it ready to be shared.
    ///
    /// Allocates only while the pool grows to its working size, or when the size changes.
    ///
    /// # Errors
    /// What `fill` returns. The buffer goes back to the pool.
    pub fn make<E>(
        &self,
        width: u32,
        height: u32,
        fill: impl FnOnce(&mut I420) -> Result<(), E>,
    ) -> Result<Arc<I420>, E> {
        let mut image = self.take_free().unwrap_or_default();
        let pixels = Arc::get_mut(&mut image).expect("a free buffer has no other owner");

        if (pixels.width, pixels.height) != (width, height) {
            pixels.resize(width, height);
        }

        let filled = fill(pixels);
        self.keep(&image);
        filled.map(|()| image)
    }

    fn take_free(&self) -> Option<Arc<I420>> {
        let mut images = self.images.lock();
        let free = images
            .iter()
            .position(|image| Arc::strong_count(image) == 1)?;
        Some(images.swap_remove(free))
    }

    fn keep(&self, image: &Arc<I420>) {
        let mut images = self.images.lock();
        if images.len() < MAX_POOLED {
            images.push(Arc::clone(image));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn odd_sizes_round_chroma_up() {
        let image = I420::new(5, 3);
        let (y, u, v) = image.planes();
        assert_eq!(
            (y.len(), u.len(), v.len()),
            (15, 6, 6),
            "chroma planes are 3 x 2"
        );
    }

    #[test]
    fn a_buffer_is_reused_after_its_last_user_drops_it() {
        let pool = FramePool::new();
        let fill = |_: &mut I420| Ok::<(), Infallible>(());
        let first = pool.make(16, 16, fill).unwrap();
        let address = first.data().as_ptr();

        let second = pool.make(16, 16, fill).unwrap();
        assert_ne!(
            second.data().as_ptr(),
            address,
            "a buffer in use is not handed out again"
        );

        drop(first);
        let third = pool.make(16, 16, fill).unwrap();
        assert_eq!(
            third.data().as_ptr(),
            address,
            "a free buffer is reused instead of allocating another"
        );
    }
}
