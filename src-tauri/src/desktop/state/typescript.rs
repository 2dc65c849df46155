//! Generates TypeScript's view of what passes between the app and its page.

use std::path::PathBuf;

use tandem_call::{ConnectProblem, EndCode};
use tandem_media::MediaErrorCode;
use tandem_signaling::client::ClientErrorCode;
use tandem_signaling::message::{
    MAX_INTEREST_CHARS, MAX_INTERESTS, MAX_PICTURE_DATA_BYTES, MAX_REPORT_CHARS, MAX_ROOM_CHARS,
    MAX_USER_LOCATION_CHARS, MAX_USER_NAME_CHARS, USER_AGES,
};
use ts_rs::{Config, TS};

use super::*;
use crate::desktop::command::{
    Command, CommandError, CommandErrorCode, FrameRequest, FrameSocket, StreamName,
};
use crate::error_code::AppErrorCode;

const HEAD: &str = "\
// Generated from src-tauri/src/desktop by `TANDEM_WRITE_TYPES=1 cargo test --locked -p tandem typescript`.
// Do not edit: a test compares it with the Rust types.
";

/// Times (milliseconds) and counters stay below 2^53, so a TypeScript `number` holds them exactly.
fn config() -> Config {
    Config::new().with_large_int("number")
}

fn declaration<T: TS>() -> String {
    let config = config();
    format!(
        "\n{}export {}\n",
        T::docs().unwrap_or_default(),
        T::decl(&config)
    )
}

/// Limits of the signaling protocol that the page names.
fn limits() -> String {
    let (youngest, oldest) = (USER_AGES.start(), USER_AGES.end());
    format!(
        "\n/** The longest room code, in characters. */\n\
         export const MAX_ROOM_CHARS = {MAX_ROOM_CHARS};\n\
         \n/** The longest name, in characters. */\n\
         export const MAX_USER_NAME_CHARS = {MAX_USER_NAME_CHARS};\n\
         \n/** The longest place, in characters. */\n\
         export const MAX_USER_LOCATION_CHARS = {MAX_USER_LOCATION_CHARS};\n\
         \n/** The most interests. */\n\
         export const MAX_INTERESTS = {MAX_INTERESTS};\n\
         \n/** The longest interest, in characters. */\n\
         export const MAX_INTEREST_CHARS = {MAX_INTEREST_CHARS};\n\
         \n/** The longest text of a report, in characters. */\n\
         export const MAX_REPORT_CHARS = {MAX_REPORT_CHARS};\n\
         \n/** The ages that a profile may give, in years. */\n\
         export const USER_AGES = {{ youngest: {youngest}, oldest: {oldest} }};\n\
         \n/** The longest `data:` URL of a profile picture, in bytes. */\n\
         export const MAX_PICTURE_DATA_BYTES = {MAX_PICTURE_DATA_BYTES};\n"
    )
}

fn contract() -> String {
    [
        String::from(HEAD),
        limits(),
        declaration::<AppState>(),
        declaration::<StateChange>(),
        declaration::<MicrophoneLevel>(),
        declaration::<Screen>(),
        declaration::<InCall>(),
        declaration::<Verification>(),
        declaration::<BadgeKind>(),
        declaration::<WordsState>(),
        declaration::<InviteEnd>(),
        declaration::<Mismatch>(),
        declaration::<Search>(),
        declaration::<Invitation>(),
        declaration::<IncomingCall>(),
        declaration::<CallerKind>(),
        declaration::<OpenedInvite>(),
        declaration::<RecentCall>(),
        declaration::<Partner>(),
        declaration::<StrangerState>(),
        declaration::<ReportStatus>(),
        declaration::<BlockStatus>(),
        declaration::<ReportReason>(),
        declaration::<ConnectingStep>(),
        declaration::<RouteKind>(),
        declaration::<Settings>(),
        declaration::<TokenState>(),
        declaration::<VideoSize>(),
        declaration::<Codec>(),
        declaration::<Theme>(),
        declaration::<Devices>(),
        declaration::<MenuDevice>(),
        declaration::<Preview>(),
        declaration::<PreviewStatus>(),
        declaration::<ServerState>(),
        declaration::<ServerStatus>(),
        declaration::<HostState>(),
        declaration::<HostStatus>(),
        declaration::<NearbyState>(),
        declaration::<NearbyStatus>(),
        declaration::<NearbyReach>(),
        declaration::<NearbyPerson>(),
        declaration::<Problem>(),
        declaration::<ErrorCode>(),
        declaration::<MediaErrorCode>(),
        declaration::<EndCode>(),
        declaration::<ConnectProblem>(),
        declaration::<ClientErrorCode>(),
        declaration::<AppErrorCode>(),
        declaration::<ProblemPlace>(),
        declaration::<Command>(),
        declaration::<CommandError>(),
        declaration::<CommandErrorCode>(),
        declaration::<FrameSocket>(),
        declaration::<FrameRequest>(),
        declaration::<StreamName>(),
    ]
    .concat()
}

#[test]
fn the_generated_contract_matches_the_rust_types() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ui/src/generated/contract.ts");
    let expected = contract();

    if std::env::var_os("TANDEM_WRITE_TYPES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &expected).unwrap();
    }

    let found = std::fs::read_to_string(&path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    assert!(
        found == expected,
        "ui/src/generated/contract.ts differs from the Rust types: run TANDEM_WRITE_TYPES=1 cargo test --locked -p tandem typescript"
    );
}
