//! Connections to TURN servers while a partner is looked for.

use super::Driver;
use crate::machine::Phase;
use crate::session::signaling;

impl Driver {
    /// Keeps connections for the call that may begin at any moment, and for nothing else.
    pub(super) fn keep_turn_warm(&self) {
        let is_waiting = self.machine.phase() == Phase::Searching && self.machine.is_registered();
        if is_waiting {
            let servers = signaling::ice_servers(self.server.ice_servers.servers());
            self.server
                .warm
                .begin(&servers, &self.options.signaling.roots);
        } else {
            self.server.warm.end();
        }
    }
}
