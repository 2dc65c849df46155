//! Checks that frames on their way to the page take no new memory. The counting allocator needs a
//! test binary of its own.
#![cfg(feature = "desktop")]
#![allow(clippy::disallowed_methods, reason = "tests make frames now")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tandem::desktop::frames::{FrameServer, HEADER_LEN, PROTOCOL, Streams};
use tandem_media::{I420, NewestSlot, VideoFrame};

/// From how many bytes on an allocation counts. What handles a message takes a few small ones; a
/// frame of this test has 345,600 bytes at least.
const LARGE: usize = 64 * 1024;

static LARGE_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting large allocations of all threads.
struct Counting;

fn count(bytes: usize) {
    if bytes >= LARGE {
        LARGE_ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged. Counting touches only an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller upholds the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller upholds the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ORIGIN: &str = "tauri://localhost";
const TIMEOUT: Duration = Duration::from_secs(20);
/// Requests before counting, in which every buffer gets its size.
const WARM_UP: u32 = 3;
const FRAMES: u32 = 50;

/// The page's end of a frame socket, in a buffer of its own.
struct Page {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Page {
    fn open(server: &FrameServer) -> Self {
        let mut socket = TcpStream::connect(server.address()).expect("the server listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let token = server.issue_token().token;
        // The key is any 16 bytes in base64 (RFC 6455 §4.1).
        write!(
            socket,
            "GET /frames HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {ORIGIN}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: {PROTOCOL}, bearer.{token}\r\n\r\n"
        )
        .expect("the server reads");

        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }

        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 101"), "admitted: {head}");
        Self {
            socket,
            buffer: vec![0; 2 * 1024 * 1024],
        }
    }

    fn request(&mut self, after: u32, width: u32) {
        let text = format!(
            r#"{{"stream":"local","after":{after},"maxWidth":{width},"maxHeight":{width}}}"#
        );
        let length = u8::try_from(text.len()).expect("less than 126 bytes");
        // Text in one frame, masked with zeros (RFC 6455 §5.2).
        let mut message = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        message.extend_from_slice(text.as_bytes());
        self.socket.write_all(&message).expect("the server reads");
    }

    /// The sequence number and the width of the reply.
    fn reply(&mut self) -> (u32, u32) {
        let mut header = [0; 10];
        self.socket.read_exact(&mut header).expect("a reply");
        assert_eq!(header[..2], [0x82, 127], "binary, with a length of 64 bits");
        let length = u64::from_be_bytes(header[2..].try_into().expect("eight bytes"));
        let reply = &mut self.buffer[..usize::try_from(length).expect("a length that fits")];
        self.socket.read_exact(reply).expect("a whole reply");
        let field = |at: usize| u32::from_le_bytes(reply[at..at + 4].try_into().expect("four"));
        let (width, height) = (field(0), field(4));
        assert_eq!(
            reply.len(),
            HEADER_LEN + (width * height * 3 / 2) as usize,
            "the header and three planes"
        );

        (field(8), width)
    }
}

#[test]
fn a_frame_on_its_way_to_the_page_takes_no_new_memory() {
    let streams = Arc::new(Streams::default());
    streams.local.set_open(true);
    let server =
        FrameServer::start(Arc::clone(&streams), vec![ORIGIN.into()]).expect("the server starts");
    let slot = Arc::new(NewestSlot::new());
    let _shown = streams.local.follow(&slot);
    let frame = VideoFrame {
        image: Arc::new(I420::new(1280, 720)),
        at: Instant::now(),
        rtp_timestamp: 0,
    };

    let mut sequence = 0;
    // As it is, and scaled down.
    for width in [1280, 640] {
        let mut page = Page::open(&server);
        let mut before = 0;
        for number in 0..WARM_UP + FRAMES {
            if number == WARM_UP {
                before = LARGE_ALLOCATIONS.load(Relaxed);
            }

            page.request(sequence, width);
            slot.put(frame.clone());
            sequence += 1;
            assert_eq!(page.reply(), (sequence, width), "the frame just made");
        }

        let large = LARGE_ALLOCATIONS.load(Relaxed) - before;
        assert_eq!(large, 0, "large allocations in {FRAMES} frames of {width}");
    }
}
