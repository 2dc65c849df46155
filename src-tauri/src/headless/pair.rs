//! Both ends of a call in one process, through an embedded relay: the self-test and demo.

use tokio::sync::watch;

use super::args::CallArgs;
use super::outcome::{Exit, Failure};
use super::report::PairReport;
use super::run::{Outcome, hold_call};
use super::{Finish, Printed, RELAY_PATIENCE, setup, url_of};
use crate::embedded;

/// The room on a relay that nobody else can reach, unless another was asked for.
const ROOM: &str = "pair";

/// Holds the call and reports both ends.
pub(super) async fn hold_pair(args: &CallArgs, stop: watch::Receiver<bool>) -> Finish {
    let relay = match embedded::relay("127.0.0.1:0").start().await {
        Ok(relay) => relay,
        Err(error) => {
            let failed = || {
                Outcome::failed(Failure::new(
                    Exit::Connection,
                    "RELAY_NOT_STARTED",
                    error.to_string(),
                ))
            };

            return finish(failed(), failed());
        }
    };

    let room = args.room.as_deref().unwrap_or(ROOM);
    let [first, second] = setup::pair(args, &url_of(relay.local_addr()), room);
    let (first, second) = tokio::join!(hold_call(first, stop.clone()), hold_call(second, stop));
    relay.shutdown_within(RELAY_PATIENCE).await;

    finish(first, second)
}

fn finish(first: Outcome, second: Outcome) -> Finish {
    let exit = first.exit.worse(second.exit);
    let report = PairReport {
        ok: first.report.ok && second.report.ok,
        peers: [first.report, second.report],
    };

    Finish {
        report: Printed::Pair(Box::new(report)),
        exit,
    }
}
