//! `--pair`: both ends of a call in one process, through an embedded signaling server. The
//! self-test and demo.

use tandem_signaling::ServerUrl;
use tandem_signaling::client::ClientConfig;
use tokio::sync::watch;

use super::args::CallArgs;
use super::outcome::{Exit, Failure};
use super::report::PairReport;
use super::run::{Outcome, hold_call};
use super::{Finish, PrintedReport, SERVER_STOP_TIMEOUT, setup};
use crate::embedded;
use crate::error_code::AppErrorCode;
use crate::values::RoomText;

/// The room, unless `--room` names another. Only this process reaches the server.
const ROOM: &str = "pair";

/// Makes the call and reports both ends.
pub(super) async fn run_pair(args: &CallArgs, stop: watch::Receiver<bool>) -> Finish {
    let server = match embedded::server("127.0.0.1:0").start().await {
        Ok(server) => server,
        Err(error) => {
            let failed = || {
                Outcome::failed(Failure::new(
                    Exit::Connection,
                    AppErrorCode::RelayNotStarted,
                    error.to_string(),
                ))
            };

            return finish(failed(), failed());
        }
    };

    let room = args
        .room
        .as_ref()
        .map_or_else(|| ROOM.to_owned(), RoomText::room);
    let url = ServerUrl::listening_on(server.local_addr());
    let [first, second] = setup::pair(args, ClientConfig::new(url), &room);
    let (first, second) = tokio::join!(hold_call(first, stop.clone()), hold_call(second, stop));
    server.shutdown_within(SERVER_STOP_TIMEOUT).await;

    finish(first, second)
}

fn finish(first: Outcome, second: Outcome) -> Finish {
    let exit = first.exit.combined(second.exit);
    let report = PairReport {
        ok: first.report.ok && second.report.ok,
        peers: [first.report, second.report],
    };

    Finish {
        report: PrintedReport::Pair(Box::new(report)),
        exit,
    }
}
