//! Searches that wait in the store, and what it finds.

use super::*;

/// The store's clock and this node's do not run alike: a hold is looked at a little later than it runs out.
const CLOCK_MARGIN: Duration = Duration::from_millis(50);

impl Hub {
    /// Searches in the store, if there is one.
    pub(in crate::server::hub) fn search_in_store(&mut self, key: ClientKey, now: Instant) -> bool {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get_mut(&key)) else {
            return false;
        };

        peer.waiting = Some(now);
        cluster.waiting += 1;
        self.look_after_holds(key, now);
        self.join_store(key);

        true
    }

    /// Has the store look again once the holds of a search have run out, counted from `now`.
    pub(super) fn look_after_holds(&mut self, key: ClientKey, now: Instant) {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get(&key)) else {
            return;
        };

        let holds = self.config.holds;
        if peer.profile.room.is_none() {
            if !peer.profile.interests.is_empty() {
                cluster
                    .retries
                    .insert((now + holds.interests + CLOCK_MARGIN, key));
            }

            cluster
                .retries
                .insert((now + holds.rematch + CLOCK_MARGIN, key));
        }
    }

    pub(super) fn join_store(&mut self, key: ClientKey) {
        let session = SessionId::from(self.id());
        let Some(record) = self.record(key) else {
            return;
        };

        if let Some(peer) = self.peers.get_mut(&key) {
            peer.is_recorded = true;
        }

        self.effects
            .push_back(Effect::Store(Command::Join(Box::new(record), session)));
    }

    /// Asks the store to end a search; false if there is nothing to ask.
    pub(in crate::server::hub) fn cancel_in_store(
        &mut self,
        key: ClientKey,
        id: &Option<RequestId>,
    ) -> bool {
        let (Some(cluster), Some(peer)) = (&self.cluster, self.peers.get(&key)) else {
            return false;
        };

        if peer.waiting.is_none() || !cluster.available {
            return false;
        }

        let command = Command::Cancel {
            user: peer.user.clone(),
            ask: Some((key, id.clone())),
        };

        self.effects.push_back(Effect::Store(command));
        true
    }

    /// Ends a search in the store without an answer.
    pub(in crate::server::hub) fn leave_store(&mut self, key: ClientKey) {
        if self.stop_waiting(key)
            && let Some(peer) = self.peers.get(&key)
        {
            self.effects.push_back(Effect::Store(Command::Cancel {
                user: peer.user.clone(),
                ask: None,
            }));
        }
    }

    /// Nothing waits for the store any more; false if nothing did.
    pub(super) fn stop_waiting(&mut self, key: ClientKey) -> bool {
        let (Some(cluster), Some(peer)) = (&mut self.cluster, self.peers.get_mut(&key)) else {
            return false;
        };

        let Some(since) = peer.waiting.take() else {
            return false;
        };

        cluster.waiting -= 1;
        for hold in [self.config.holds.interests, self.config.holds.rematch] {
            cluster.retries.remove(&(since + hold + CLOCK_MARGIN, key));
        }

        true
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one note")]
    pub(super) fn matched(
        &mut self,
        key: ClientKey,
        session: SessionId,
        partner: Card,
        profile: &FindPartner,
        initiator: bool,
        interests: Vec<String>,
        now: Instant,
    ) {
        if self.call(key).is_some_and(|call| call.session == session) {
            return;
        }

        let is_here = self.config.node.as_ref() == Some(&partner.node);
        let local = self.users.get(&partner.user).copied().filter(|_| is_here);
        let is_there = !is_here
            || local
                .and_then(|local| self.peers.get(&local))
                .is_some_and(|other| {
                    other.waiting.is_some()
                        || other
                            .call
                            .as_ref()
                            .is_some_and(|call| call.session == session)
                });

        let was_waiting = self.stop_waiting(key);
        let person = self.peers.get(&key).map(|peer| &peer.person);
        let is_blocked = person
            .and_then(|person| self.blocks.get(person))
            .is_some_and(|blocked| blocked.contains(&partner.person));

        if is_blocked {
            // The store was away when that was said.
            self.block_in_store(key, &partner.user);
        }

        if was_waiting && is_there && !is_blocked {
            let mut partner = Partner::from_card(partner);
            if let Some(local) = local {
                partner.place = Place::Here(local);
            }

            return self.enter_call(key, session, partner, profile, initiator, interests);
        }

        let Some(peer) = self.peers.get(&key) else {
            return;
        };

        let end = Command::End {
            user: peer.user.clone(),
            session,
            reason: LeaveReason::Disconnected,
        };

        self.effects.push_back(Effect::Store(end));
        if was_waiting {
            // The partner is gone, this client is not: it goes on searching.
            self.search_in_store(key, now);
        }
    }
}
