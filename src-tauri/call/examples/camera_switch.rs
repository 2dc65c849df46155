//! A call that sends a camera's video and turns it off and on again: `camera_switch SERVER_URL
//! ROOM`. It reads the lines `off`, `on` and `end` from stdin, and prints each failure of a device
//! and the end of the call.
#![allow(clippy::print_stdout, reason = "its output is its result")]

use std::error::Error;
use std::io::BufRead;

use tandem_call::{Call, CallEventKind, CallOptions};
use tandem_media::video::{CameraSelector, VideoFormat, VideoSpec};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .ok_or("usage: camera_switch ws://HOST:PORT/ws ROOM")?
        .parse()?;
    let options = CallOptions {
        room: arguments.next(),
        video: VideoSpec::Camera(CameraSelector::Default),
        video_format: VideoFormat {
            width: 640,
            height: 360,
            fps: 5.0,
        },
        ..CallOptions::new(url)
    };

    let (call, mut events) = Call::start(options);
    let (sender, mut lines) = mpsc::unbounded_channel();

    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });

    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref() {
                Some("off") => call.set_camera(false),
                Some("on") => call.set_camera(true),
                _ => break,
            },
            event = events.recv() => match event.map(|event| event.kind) {
                Some(CallEventKind::Media(failed)) => println!("failed: {failed:?}"),
                Some(CallEventKind::Ended { .. }) | None => break,
                Some(_) => {}
            },
        }
    }

    call.hang_up().await;
    println!("ended");
    Ok(())
}
