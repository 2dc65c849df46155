//! Clients whose connection broke, and connections that take their place.

use super::calls::partner_gone;
use super::*;

impl Hub {
    /// A connection is gone without `bye`. The client can come back for a while.
    pub(in crate::server) fn disconnect(&mut self, key: ClientKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };

        if peer.is_away() {
            return;
        }

        if self.config.resume_window.is_zero() || peer.resuming.is_some() {
            self.remove(key, LeaveReason::Disconnected, now);
            return;
        }

        let until = now + self.config.resume_window;
        peer.away_until = Some(until);
        self.away.insert((until, key));
        self.stop_searching(key);
        self.tell_partner(key, true);
        self.close_if_drained(key, now);

        if self.away.len() > MAX_AWAY
            && let Some((_, oldest)) = self.away.pop_first()
        {
            self.remove(oldest, LeaveReason::Disconnected, now);
        }
    }

    /// The connection `key` wants to take the place of an earlier one.
    pub(super) fn resume(
        &mut self,
        key: ClientKey,
        token: &str,
        last_seq: u64,
        is_first: bool,
        id: Option<RequestId>,
        now: Instant,
    ) -> Result<(), Fault> {
        let nothing = || {
            fault(
                ErrorCode::Unauthorized,
                "There is nothing to resume with this token: you are a new user now.",
            )
        };

        if !is_first {
            return Err(fault(
                ErrorCode::Unauthorized,
                "A `resume` must be the first message of a connection.",
            ));
        }

        let Some(&old) = self.tokens.get(token).filter(|&&old| old != key) else {
            return if self.take_over(key, token, last_seq, id, now) {
                Ok(())
            } else {
                Err(nothing())
            };
        };

        // A token does not lend somebody else's identity.
        if self.peers.get(&old).map(|peer| &peer.subject)
            != self.peers.get(&key).map(|peer| &peer.subject)
        {
            return Err(nothing());
        }

        let Some(mut peer) = self.take_out(old) else {
            return Err(nothing());
        };

        match peer.away_until.take() {
            Some(until) => {
                self.away.remove(&(until, old));
            }
            None => self
                .effects
                .push_back(Effect::Close(old, CloseReason::Replaced)),
        }

        self.put_in(key, peer, last_seq, id);
        Ok(())
    }

    /// Takes a client out, to go on under another key or on another node. Its call stays in it.
    pub(super) fn take_out(&mut self, key: ClientKey) -> Option<Peer> {
        self.stop_searching(key);
        let peer = self.peers.remove(&key)?;
        self.users.remove(&peer.user);
        self.tokens.remove(&peer.token);
        self.tighten();

        if peer.call.is_some() {
            self.in_call -= 1;
        }

        Some(peer)
    }

    /// The connection `key` is `peer` from now on; its own user is dropped, its token stays.
    pub(super) fn put_in(
        &mut self,
        key: ClientKey,
        mut peer: Peer,
        last_seq: u64,
        id: Option<RequestId>,
    ) {
        let Some(new) = self.peers.remove(&key) else {
            return;
        };

        self.users.remove(&new.user);
        peer.token = new.token;
        peer.is_new = false;
        let said = new.resuming;
        let (missed, lost) = peer.delivery.resume(last_seq);
        self.tokens.insert(peer.token.clone(), key);
        self.users.insert(peer.user.clone(), key);
        let call = peer.call.clone();
        self.peers.insert(key, peer);
        let resumed = Resumed {
            missed: missed.len() as u64,
            session_id: call.as_ref().map(|call| call.session.clone()),
        };

        self.reply(key, ServerMessage::Resumed(resumed), id);
        self.effects
            .extend(missed.into_iter().map(|message| Effect::Send(key, message)));

        if let Some(call) = call {
            self.in_call += 1;
            if let Place::Here(partner) = call.partner.place
                && let Some(call) = self
                    .peers
                    .get_mut(&partner)
                    .and_then(|partner| partner.call.as_mut())
            {
                call.partner.place = Place::Here(key);
            }

            self.tell_partner(key, false);
            if lost > 0
                && let Place::Here(partner) = call.partner.place
            {
                self.reject(partner, partner_gone(), None);
            }

            if call.partner_away {
                self.send(
                    key,
                    ServerMessage::PartnerReconnecting(SessionEnded {
                        session_id: call.session,
                    }),
                );
            }
        }

        self.record_again(key);
        debug_assert!(
            said.is_none_or(|said| said.is_empty()),
            "what was said while resuming is heard by `cluster`"
        );
    }
}
