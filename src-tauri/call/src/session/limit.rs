//! A time limit for calls into webrtc. All of them take one lock, and whatever holds it for ever would
//! hold up the hang-up, too.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::peer::PeerError;

/// How long a call may take: the slowest take some milliseconds. The window waits 5 s for the end of a
/// call, which asks for a route and then closes.
const LIMIT: Duration = Duration::from_secs(2);
/// The limit is waited for in such pieces, so that the time for which a program is stopped, as by a
/// closed lid, does not count.
const PIECES: u32 = 20;

/// Waits for `call`, which should `action`; `None` if that takes too long.
pub(super) async fn limited<T>(action: &'static str, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    for _ in 0..PIECES {
        if let Ok(result) = tokio::time::timeout(LIMIT / PIECES, call.as_mut()).await {
            return Some(result);
        }
    }

    tracing::error!("the peer connection hangs: it does not {action}");
    None
}

/// The same as an error.
pub(super) async fn or_hung<T>(
    action: &'static str,
    call: impl Future<Output = Result<T, PeerError>>,
) -> Result<T, PeerError> {
    limited(action, call)
        .await
        .unwrap_or(Err(PeerError::Hung { action }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_call_that_hangs_is_given_up_and_a_slow_one_is_not() {
        let slow = async {
            tokio::time::sleep(3 * LIMIT / PIECES).await;
            Ok(7)
        };
        assert_eq!(or_hung("count", slow).await.unwrap(), 7);

        let hangs = std::future::pending::<Result<(), PeerError>>();
        let error = or_hung("answer", hangs).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the peer connection hangs: it did not answer"
        );
    }
}
