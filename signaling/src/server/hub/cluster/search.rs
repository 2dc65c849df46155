//! Searches in the shared store, and the matches it makes.
//!
//! The store looks for a partner only when a node asks it to: when a client joins the queue, and
//! again when one of that client's holds expires. The client's node keeps the time for that.

use std::time::{Duration, Instant};

use super::messages::{Card, StoreCommand};
use crate::message::{ClaimToken, FindPartner, LeaveReason, RequestId, SessionId};
use crate::server::client_key::ClientKey;
use crate::server::hub::client::{Partner, PartnerLocation};
use crate::server::hub::ring::no_such_knock;
use crate::server::hub::{Effect, Hub};

/// How long after a hold has expired on this node's clock the node asks the store, whose clock does
/// not run at exactly the same speed. Asking too early would find the hold still in force.
pub(super) const CLOCK_MARGIN: Duration = Duration::from_millis(50);

impl Hub {
    /// Starts a search in the store. False if there is no store.
    pub(in crate::server::hub) fn search_in_store(&mut self, key: ClientKey, now: Instant) -> bool {
        let (Some(cluster), Some(client)) = (&mut self.cluster, self.clients.get_mut(&key)) else {
            return false;
        };

        client.store_search_since = Some(now);
        client.search_number += 1;
        cluster.searching += 1;
        self.schedule_retries(key, now);
        self.join_store(key);

        true
    }

    /// Schedules a retry for the end of each hold of a search, counted from `now`.
    pub(super) fn schedule_retries(&mut self, key: ClientKey, now: Instant) {
        let (Some(cluster), Some(client)) = (&mut self.cluster, self.clients.get(&key)) else {
            return;
        };

        // Rooms have no holds.
        if client.profile.room.is_some() {
            return;
        }

        let holds = self.config.holds;
        if !client.profile.interests.is_empty() {
            cluster
                .retries
                .insert((now + holds.interests + CLOCK_MARGIN, key));
        }

        cluster
            .retries
            .insert((now + holds.rematch + CLOCK_MARGIN, key));
    }

    pub(super) fn join_store(&mut self, key: ClientKey) {
        let session = SessionId::from(self.id());
        let Some(record) = self.record(key) else {
            return;
        };

        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };

        client.is_recorded = true;
        let join = StoreCommand::Join(Box::new(record), session, client.search_number);
        self.effects.push_back(Effect::Store(join));
    }

    /// Asks the store for a room of this client's own. False if there is no store.
    pub(in crate::server::hub) fn claim_in_store(
        &mut self,
        key: ClientKey,
        random: u32,
        token: &ClaimToken,
        former: &Option<(u32, ClaimToken)>,
        id: &Option<RequestId>,
    ) -> bool {
        let Some(record) = self.record(key) else {
            return false;
        };

        if let Some(client) = self.clients.get_mut(&key) {
            client.is_recorded = true;
        }

        self.effects.push_back(Effect::Store(StoreCommand::Claim {
            record: Box::new(record),
            random,
            token: token.clone(),
            former: former.clone(),
            key,
            id: id.clone(),
        }));
        true
    }

    /// Asks the store to free a room of this client. False if there is no store.
    pub(in crate::server::hub) fn release_in_store(
        &mut self,
        key: ClientKey,
        number: u32,
        id: &Option<RequestId>,
    ) -> bool {
        let (Some(_), Some(client)) = (&self.cluster, self.clients.get(&key)) else {
            return false;
        };

        self.effects.push_back(Effect::Store(StoreCommand::Release {
            user: client.user.clone(),
            number,
            key,
            id: id.clone(),
        }));
        true
    }

    /// Asks the store to cancel a search and to answer. False if there is no search in the store,
    /// or the store is away.
    pub(in crate::server::hub) fn cancel_in_store(
        &mut self,
        key: ClientKey,
        id: &Option<RequestId>,
    ) -> bool {
        let (Some(cluster), Some(client)) = (&self.cluster, self.clients.get(&key)) else {
            return false;
        };

        if client.store_search_since.is_none() || !cluster.available {
            return false;
        }

        self.effects.push_back(Effect::Store(StoreCommand::Cancel {
            user: client.user.clone(),
            reply_to: Some((key, id.clone())),
        }));
        true
    }

    /// Cancels a search in the store, if there is one, without waiting for an answer.
    pub(in crate::server::hub) fn leave_store(&mut self, key: ClientKey) {
        if self.forget_store_search(key)
            && let Some(client) = self.clients.get(&key)
        {
            self.effects.push_back(Effect::Store(StoreCommand::Cancel {
                user: client.user.clone(),
                reply_to: None,
            }));
        }
    }

    /// Forgets on this node that a client searches in the store. False if it did not.
    pub(super) fn forget_store_search(&mut self, key: ClientKey) -> bool {
        self.forget_ring(key);
        let (Some(cluster), Some(client)) = (&mut self.cluster, self.clients.get_mut(&key)) else {
            return false;
        };

        let Some(since) = client.store_search_since.take() else {
            return false;
        };

        client.ringing = false;

        cluster.searching -= 1;
        for hold in [self.config.holds.interests, self.config.holds.rematch] {
            cluster.retries.remove(&(since + hold + CLOCK_MARGIN, key));
        }

        true
    }

    /// The store has matched a client of this node.
    ///
    /// It searched, or it has accepted a knock. Much may have happened since: the client may have
    /// cancelled, or blocked this partner while the store was away, or the partner, if it is on this
    /// node too, may have left. Then the call ends before it begins, and a client that still searches
    /// goes back into the queue.
    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
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

        let is_local = self.config.node.as_ref() == Some(&partner.node);
        let local = self.users.get(&partner.user).copied().filter(|_| is_local);

        // Whether a partner on this node can still enter the call. Another node checks that for its
        // own clients.
        let can_enter = !is_local
            || local
                .and_then(|local| self.clients.get(&local))
                .is_some_and(|other| {
                    other.store_search_since.is_some()
                        || other.accepting.is_some()
                        || other
                            .call
                            .as_ref()
                            .is_some_and(|call| call.session == session)
                });

        let was_searching = self.forget_store_search(key);
        let accepted = self
            .clients
            .get_mut(&key)
            .and_then(|client| client.accepting.take());
        let is_blocked = self
            .clients
            .get(&key)
            .is_some_and(|client| self.blocks.keep_apart(&client.person, &partner.person));

        if is_blocked {
            // The store missed this block: it was away.
            self.block_in_store(key, &partner.user, Some(partner.person.clone()));
        }

        if (was_searching || accepted.is_some()) && can_enter && !is_blocked {
            if let Some(profile) = accepted {
                self.accepted_in_store(key, *profile);
            }

            let mut partner = Partner::from_card(partner);
            if let Some(local) = local {
                partner.location = PartnerLocation::Local(local);
            }

            return self.enter_call(key, session, partner, profile, initiator, interests);
        }

        let Some(client) = self.clients.get(&key) else {
            return;
        };

        self.effects.push_back(Effect::Store(StoreCommand::End {
            user: client.user.clone(),
            session,
            reason: LeaveReason::Disconnected,
        }));

        if was_searching {
            self.search_in_store(key, now);
        } else if accepted.is_some() {
            self.reject(key, no_such_knock(), None);
            // The store has ended its listening, so it has to learn of it again.
            self.sync_to_store(key, now);
        }
    }
}
