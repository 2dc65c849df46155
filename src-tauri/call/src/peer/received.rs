//! Taking datagrams out of what a socket has received.

use std::io::IoSliceMut;
use std::net::SocketAddr;

use webrtc::runtime::RecvMeta;

/// Leaves the datagrams for which `keep` returns `true`, each with who sent it. `count` buffers have been
/// read. Returns how many are left.
pub(super) fn retain(
    bufs: &mut [IoSliceMut<'_>],
    meta: &mut [RecvMeta],
    count: usize,
    mut keep: impl FnMut(SocketAddr, &[u8]) -> bool,
) -> usize {
    let mut left = 0;
    for at in 0..count.min(bufs.len()).min(meta.len()) {
        let length = meta[at].len.min(bufs[at].len());
        let kept = retain_joined(&mut bufs[at][..length], &meta[at], &mut keep);
        if kept == 0 && length > 0 {
            continue;
        }

        meta[at].len = kept;
        if left < at {
            // The buffers belong to the library, by their places.
            let (before, rest) = bufs.split_at_mut(at);
            let kept = kept.min(before[left].len());
            before[left][..kept].copy_from_slice(&rest[0][..kept]);
            meta[left] = meta[at];
            meta[left].len = kept;
        }
        left += 1;
    }

    left
}

/// The same for the datagrams of one sender that the system has joined in a buffer (generic receive
/// offload): all but the last one, which may be shorter, have the length `stride`. Returns how many bytes
/// are left.
fn retain_joined(
    joined: &mut [u8],
    meta: &RecvMeta,
    keep: &mut impl FnMut(SocketAddr, &[u8]) -> bool,
) -> usize {
    let mut kept = 0;
    let mut start = 0;
    while start < joined.len() {
        let end = start.saturating_add(meta.stride.max(1)).min(joined.len());
        if keep(meta.addr, &joined[start..end]) {
            joined.copy_within(start..end, kept);
            kept += end - start;
        }
        start = end;
    }

    kept
}

/// Puts one datagram into the first buffer, as if it had just been read. Returns `false` if there is none.
pub(super) fn put(
    bufs: &mut [IoSliceMut<'_>],
    meta: &mut [RecvMeta],
    (from, datagram): (SocketAddr, &[u8]),
) -> bool {
    let (Some(buffer), Some(first)) = (bufs.first_mut(), meta.first_mut()) else {
        return false;
    };

    // As the system does with a datagram that is longer than the buffer.
    let length = datagram.len().min(buffer.len());
    buffer[..length].copy_from_slice(&datagram[..length]);
    *first = RecvMeta::default();
    (first.addr, first.len, first.stride) = (from, length, length.max(1));
    true
}
