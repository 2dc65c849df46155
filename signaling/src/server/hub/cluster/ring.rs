//! Ringing across nodes.

use super::super::unavailable;
use crate::message::{Fault, FindPartner, KnockId, RequestId};
use crate::server::client_key::ClientKey;
use crate::server::hub::Hub;

impl Hub {
    pub(in crate::server::hub) fn listen_in_store(
        &mut self,
        key: ClientKey,
        _rooms: Vec<String>,
        id: Option<RequestId>,
    ) {
        self.reject(key, unavailable(), id);
    }

    pub(in crate::server::hub) fn accept_in_store(
        &mut self,
        _key: ClientKey,
        _knock: KnockId,
        _profile: FindPartner,
        _id: &Option<RequestId>,
    ) -> Result<(), Fault> {
        Err(unavailable())
    }

    pub(in crate::server::hub) fn decline_in_store(
        &mut self,
        _key: ClientKey,
        _knock: &KnockId,
        _id: &Option<RequestId>,
    ) -> Result<(), Fault> {
        Err(unavailable())
    }
}
