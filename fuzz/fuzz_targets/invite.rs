//! Invites and links to a call, which strangers send: no input may panic, and what is read is
//! written back as it was understood.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tandem::invite::{Invite, InviteLink};
use tandem::values::room_text;

fuzz_target!(|text: &str| {
    if let Ok(invite) = text.parse::<Invite>() {
        assert_eq!(invite.to_string().parse(), Ok(invite));
    }

    if let Ok(link) = text.parse::<InviteLink>() {
        assert_eq!(link.https().parse::<InviteLink>().map(|read| read.invite), Ok(link.invite));
    }

    let _ = room_text(text);
});
