//! What each command of the operator does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{AdminCommand, DEFAULT_LISTED, MAX_LISTED};
use crate::message::UserId;
use crate::server::moderation::key::PeerHash;
use crate::server::moderation::now_ms;
use crate::server::moderation::report_file::ReportFile;
use crate::server::shared::Shared;

const NO_FILE: &str = "this server has no file of reports: give it one with --reports";
const NO_REPORT: &str = "there is no report with this id on this server";

/// Carries a command out.
///
/// # Errors
/// A sentence for the operator.
pub(in crate::server) async fn execute(
    shared: &Arc<Shared>,
    command: AdminCommand,
) -> Result<Value, String> {
    match command {
        AdminCommand::Connections {} => Ok(shared.connections().into()),
        AdminCommand::Calls {} => Ok(shared.calls().into()),
        AdminCommand::Kick { user } => {
            if !shared.kick(&UserId::from(user)) {
                return Err("nobody with this userId is connected to this server".into());
            }

            Ok(json!({ "kicked": true }))
        }
        AdminCommand::Ban { who, seconds } => ban(shared, who, seconds).await,
        AdminCommand::Unban { who } => {
            let Meant { peer, .. } = find_peer(shared, who).await?;
            let was_banned = shared.edge.moderation.unban(peer);
            shared.save_bans().await;
            tracing::info!(%peer, was_banned, "the operator has lifted a ban");
            Ok(json!({ "peer": peer, "wasBanned": was_banned }))
        }
        AdminCommand::Bans {} => {
            let bans = shared.edge.moderation.bans();
            let ban = |(peer, until)| json!({ "peer": peer, "untilMs": until });
            Ok(bans.into_iter().map(ban).collect())
        }
        AdminCommand::Reports { all, limit } => {
            let limit = limit.unwrap_or(DEFAULT_LISTED).min(MAX_LISTED);
            let reports = with_file(shared, move |file| file.list(all, limit)).await?;
            Ok(reports.into_iter().map(Value::Object).collect())
        }
        AdminCommand::Report { id } => Ok(read_report(shared, id).await?.into()),
        AdminCommand::Close { id, note } => {
            let close = move |file: &ReportFile| file.close(&id, note.as_deref(), now_ms());
            found(with_file(shared, close).await?)?;
            Ok(json!({ "closed": true }))
        }
        AdminCommand::Delete { id } => {
            found(with_file(shared, move |file| file.delete(&id)).await?)?;
            Ok(json!({ "deleted": true }))
        }
        AdminCommand::DeleteReporter { who } => {
            let peer =
                named_peer(shared, &who).ok_or("name the peer of a reporter, or user:SUB")?;
            let deleted = with_file(shared, move |file| file.delete_reporter(peer)).await?;
            tracing::info!(%peer, deleted, "the operator has deleted the reports of a client");
            Ok(json!({ "peer": peer, "deleted": deleted }))
        }
        AdminCommand::Drain {} => {
            tracing::info!("the operator drains this server");
            shared.request_stop();
            Ok(json!({ "draining": true }))
        }
        AdminCommand::Stats {} => stats(shared).await,
    }
}

async fn ban(shared: &Arc<Shared>, who: String, seconds: Option<u64>) -> Result<Value, String> {
    let Meant { peer, moved_to } = find_peer(shared, who).await?;
    let moderation = &shared.edge.moderation;
    let lasts = seconds.map(Duration::from_secs);
    let ban = |peer| {
        let banned = moderation.ban(peer, lasts);
        banned.map_err(|_| "there are too many bans: lift some".to_owned())
    };
    let until = ban(peer)?;
    let second = moved_to.map(ban).transpose();

    let ended = shared.enforce_bans();
    // Before the answer: a ban that the operator was told of holds after a crash.
    shared.save_bans().await;
    tracing::info!(%peer, ended, "the operator has banned a client");
    // The first ban holds whatever became of the second.
    second?;
    let mut answer = json!({
        "peer": peer,
        "untilMs": until,
        "ended": ended,
        "shared": moderation.shares_bans(),
    });
    if let Some(peer) = moved_to {
        answer["movedTo"] = json!(peer);
    }
    Ok(answer)
}

/// Whom the operator means.
struct Meant {
    peer: PeerHash,
    /// Where someone who was reported is now, if that is another network than in the report.
    moved_to: Option<PeerHash>,
}

impl From<PeerHash> for Meant {
    fn from(peer: PeerHash) -> Self {
        Self {
            peer,
            moved_to: None,
        }
    }
}

async fn find_peer(shared: &Arc<Shared>, who: String) -> Result<Meant, String> {
    if let Some(peer) = named_peer(shared, &who) {
        return Ok(peer.into());
    }

    if Uuid::parse_str(&who).is_err() {
        return Err(
            "name the peer of a report (32 hexadecimal digits), user:SUB, a userId or a reportId"
                .into(),
        );
    }

    if let Some(peer) = shared.peer_of(&UserId::from(who.as_str())) {
        return Ok(peer.into());
    }

    let unknown = "this is neither a user on this server nor one of its reports";
    let report = read_report(shared, who).await.map_err(|error| {
        if error == NO_REPORT || error == NO_FILE {
            unknown.to_owned()
        } else {
            error
        }
    })?;
    let said = |field| report.get("reported")?.get(field)?.as_str();
    let peer: Option<PeerHash> = said("peer").and_then(|peer| peer.parse().ok());
    let present = said("userId").and_then(|user| shared.peer_of(&UserId::from(user)));
    let peer = peer
        .or(present)
        .ok_or_else(|| "this report does not say who was reported".to_owned())?;

    Ok(Meant {
        peer,
        moved_to: present.filter(|present| *present != peer),
    })
}

/// Someone by hash or subject.
fn named_peer(shared: &Shared, who: &str) -> Option<PeerHash> {
    let of_subject = |subject| shared.edge.moderation.key.of_subject(subject);
    let subject = who.strip_prefix("user:").filter(|name| !name.is_empty());
    who.parse().ok().or_else(|| subject.map(of_subject))
}

async fn read_report(shared: &Arc<Shared>, id: String) -> Result<Map<String, Value>, String> {
    let report = with_file(shared, move |file| file.read(&id)).await?;
    report.ok_or_else(|| NO_REPORT.to_owned())
}

fn found(found: bool) -> Result<(), String> {
    found.then_some(()).ok_or_else(|| NO_REPORT.to_owned())
}

/// Does something with the file of reports, off the runtime's threads.
async fn with_file<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&ReportFile) -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let edge = shared.edge.clone();
    let result = spawn_blocking(move || edge.moderation.reports.as_ref().map(work))
        .await
        .map_err(|_| "the server has failed at this command".to_owned())?;

    result
        .ok_or_else(|| NO_FILE.to_owned())?
        .map_err(|error| format!("the file of reports: {error}"))
}

async fn stats(shared: &Arc<Shared>) -> Result<Value, String> {
    let open_reports = match shared.edge.moderation.reports {
        Some(_) => Some(with_file(shared, |file| Ok(file.open_reports())).await?),
        None => None,
    };
    let levels = shared.levels();

    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "connections": shared.edge.metrics.connections.get(),
        "searching": levels.searching,
        "sessions": levels.sessions,
        "nodes": shared.edge.metrics.nodes.get(),
        "bans": levels.bans,
        "openReports": open_reports,
        "draining": levels.draining,
    }))
}
