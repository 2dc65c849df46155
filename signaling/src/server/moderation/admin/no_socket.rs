//! Takes the place of the admin socket on systems without one.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use crate::server::shared::Shared;

/// A socket that can never be created.
pub(in crate::server) struct AdminSocket(Infallible);

impl AdminSocket {
    /// # Errors
    /// Always.
    pub(super) fn bind(_path: &Path) -> Result<Self, String> {
        Err(
            "there is no admin socket on this system: leave --admin-socket out, and use the ban file"
                .into(),
        )
    }

    /// Never runs.
    pub(in crate::server) async fn run(self, _shared: Arc<Shared>) {
        match self.0 {}
    }
}
