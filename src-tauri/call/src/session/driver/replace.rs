//! Puts a fresh peer connection in the place of one that cannot be used any more.

use tokio::sync::mpsc::unbounded_channel;

use super::Driver;
use crate::machine::PeerId;
use crate::session::limit::or_hung;
use crate::session::local_video::LocalVideo;
use crate::session::signaling;

impl Driver {
    /// Closes the present connection and makes a fresh one, as the same side of the same call.
    pub(super) async fn replace_peer(&mut self, id: PeerId, number: u32) {
        let servers = signaling::ice_servers(self.server.ice_servers.servers());
        let Some(partner) = &mut self.partner else {
            return;
        };

        tracing::info!(number, "making a fresh connection to the partner");
        partner.peer.leave_silently();
        tokio::spawn(partner.closing());
        let (sender, events) = unbounded_channel();
        let fresh = partner.peer.successor(servers, sender);
        let fresh = or_hung("start again", fresh).await;
        let replaced = fresh.map(|peer| partner.replace(id, number, peer, events));
        if replaced.is_err() {
            partner.lose(id, number);
        }

        self.feed_result(id, replaced.map(|()| None));
    }

    /// Goes on with media once a fresh connection is up and uses the certificates of the call.
    pub(super) fn resume_media(&mut self, video: &LocalVideo) {
        let Some(partner) = &mut self.partner else {
            return;
        };

        // Before the call has begun, its beginning does the rest.
        if !partner.take_proof() || !partner.has_begun() {
            return;
        }

        partner.on_negotiated(&self.options, video.sender(), self.audio.gate());
        partner.send_keyframe();
        for event in partner.release() {
            self.receive(event);
        }
    }
}
