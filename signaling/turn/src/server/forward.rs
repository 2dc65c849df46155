//! Passing packets on, between clients and peers and from one client to another.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Destination, Family, Packet, Relay, Server, Transport};
use crate::allocation::Peer;
use crate::message::{Class, Message, Method, Writer, attribute, write_channel_data};
use crate::quota::Payer;

impl Server {
    /// ChannelData of a client (RFC 8656 §12.6).
    pub(super) fn channel_data(
        &mut self,
        packet: Packet<'_>,
        channel: u16,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        let id = self.allocation_of(packet.from, packet.now)?;
        let Some(peer) = self.allocations[id].peer_of(channel, packet.now) else {
            self.stats.dropped_unpermitted += 1;
            return None;
        };

        self.pass_on(id, peer, data, packet.now, out)
    }

    /// A Send indication (RFC 8656 §11.2).
    pub(super) fn send_indication(
        &mut self,
        packet: Packet<'_>,
        message: &Message<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        let id = self.allocation_of(packet.from, packet.now)?;
        let peer = message.address(attribute::XOR_PEER_ADDRESS)?;
        let data = message.attribute(attribute::DATA)?;
        if message.unknown_attribute().is_some() {
            return None;
        }

        if !self.allocations[id].permits(self.peer(peer), packet.now) {
            self.stats.dropped_unpermitted += 1;
            return None;
        }

        self.pass_on(id, peer, data, packet.now, out)
    }

    /// A packet that a peer sent to a relayed port (RFC 8656 §11.3, §12.7).
    pub fn receive_from_peer(
        &mut self,
        relay: Relay,
        peer: SocketAddr,
        data: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        let id = *self.by_relay.get(&relay)?;
        let allocation = &self.allocations[id];
        if allocation.expires <= now || !allocation.permits(self.peer(peer), now) {
            self.stats.dropped_unpermitted += 1;
            return None;
        }

        let payers = [allocation.payer()];
        self.take(&payers, data.len(), now)?;
        self.write_to_client(id, peer, data, now, out)
    }

    /// A packet of a client for a peer that it may send to.
    fn pass_on(
        &mut self,
        id: usize,
        peer: SocketAddr,
        data: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        let allocation = &self.allocations[id];
        let (relay, relayed, payer) = (allocation.relay, allocation.relayed, allocation.payer());
        if peer.ip() != relayed.ip() {
            self.take(&[payer], data.len(), now)?;
            out.clear();
            out.extend_from_slice(data);
            return Some(Destination::Peer(relay, peer));
        }

        let neighbour = Relay {
            family: relay.family,
            port: peer.port(),
        };
        if let Some(other) = self.by_relay.get(&neighbour).copied() {
            return self.join(id, other, data, now, out);
        }

        // Another port of this machine, to which only an operator's rule can open the way.
        if !self.config.rules.permits(peer.ip()) {
            self.stats.dropped_unpermitted += 1;
            return None;
        }

        self.take(&[payer], data.len(), now)?;
        out.clear();
        out.extend_from_slice(data);
        Some(Destination::Peer(relay, peer))
    }

    /// A packet from one client of this server to another.
    fn join(
        &mut self,
        from: usize,
        to: usize,
        data: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        let (sender, receiver) = (&self.allocations[from], &self.allocations[to]);
        let (relayed, payers) = (sender.relayed, [sender.payer(), receiver.payer()]);
        if receiver.expires <= now || !receiver.permits(Peer::User(sender.user), now) {
            self.stats.dropped_unpermitted += 1;
            return None;
        }

        self.take(&payers, data.len(), now)?;
        self.stats.joined_packets += 1;
        self.write_to_client(to, relayed, data, now, out)
    }

    /// Whom a permission for this address is for.
    pub(super) fn peer(&self, peer: SocketAddr) -> Peer {
        let family = Family::from(peer.ip());
        if self.config.addresses.of(family) != Some(peer.ip()) {
            return Peer::Address(peer.ip());
        }

        let port = peer.port();
        match self.by_relay.get(&Relay { family, port }) {
            Some(id) => Peer::User(self.allocations[*id].user),
            None => Peer::Port(port),
        }
    }

    /// Counts a packet that is passed on; `None` if there is no bandwidth for it.
    fn take(&mut self, payers: &[Payer], bytes: usize, now: Instant) -> Option<()> {
        if !self.usage.take(payers, bytes, now) {
            self.stats.dropped_over_rate += 1;
            return None;
        }

        self.stats.relayed_packets += 1;
        self.stats.relayed_bytes += bytes as u64;
        Some(())
    }

    /// Wraps what a peer sent for the client of an allocation.
    fn write_to_client(
        &mut self,
        id: usize,
        peer: SocketAddr,
        data: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Destination> {
        let allocation = &self.allocations[id];
        if let Some(channel) = allocation.channel_of(peer, now) {
            write_channel_data(out, channel, data);
            if let Transport::Tcp(_) = allocation.client.transport {
                out.resize(out.len().next_multiple_of(4), 0);
            }
        } else if data.len() <= MAX_INDICATION_DATA {
            // The client matches nothing by the transaction id of an indication.
            let mut transaction = [0; 12];
            transaction[..8].copy_from_slice(&self.stats.relayed_packets.to_be_bytes());
            Writer::new(out, Class::Indication, Method::Data, transaction)
                .address(attribute::XOR_PEER_ADDRESS, peer)
                .attribute(attribute::DATA, data)
                .finish();
        } else {
            return None;
        }

        Some(Destination::Client(self.allocations[id].client))
    }
}

/// What fits beside the other attributes into a UDP datagram.
const MAX_INDICATION_DATA: usize = 65_000;
