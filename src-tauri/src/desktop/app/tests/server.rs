//! Scenarios of the server: reached, lost, missing, or embedded.

use tandem_signaling::client::ClientErrorCode;

use super::*;
use crate::desktop::state::ServerStatus;

#[test]
fn a_lost_server_is_shown_until_it_is_back() {
    let mut world = World::new();
    world.connect_known();
    world.call_event(CallEventKind::SignalingLost);
    let Screen::InCall(call) = world.screen() else {
        panic!("the call continues")
    };

    assert!(call.server_lost, "the call shows it");
    world.call_event(CallEventKind::SignalingBack);
    assert_eq!(
        world.app.state().server.status,
        ServerStatus::Connected,
        "connected again"
    );

    world.call_event(ended(EndCode::RelayUnreachable));
    assert_eq!(
        world.app.state().server.status,
        ServerStatus::Connecting,
        "between calls the app connects again"
    );
}

#[test]
fn a_host_calls_through_the_embedded_server() {
    let mut world = World::new();
    world.command(Command::StartHost { lan: true }).unwrap();
    assert_eq!(
        world.command(Command::StartHost { lan: true }),
        Err(CommandErrorCode::NotNow),
        "it is already starting"
    );

    let local_url: ServerUrl = "ws://127.0.0.1:4711".parse().unwrap();
    world.input(Input::HostStarted {
        local_url: local_url.clone(),
        addresses: vec!["ws://192.0.2.9:4711".parse().unwrap()],
    });

    assert_eq!(world.app.state().host.status, HostStatus::On, "running");
    world.command(Command::FindPartner).unwrap();
    assert_eq!(
        world.start_call_plan().server.url,
        local_url,
        "the embedded server, whatever the settings say"
    );

    assert_eq!(
        world.command(Command::StopHost),
        Err(CommandErrorCode::NotNow),
        "not during a search"
    );

    world.command(Command::Cancel).unwrap();
    world.command(Command::StopHost).unwrap();
    assert_eq!(world.app.state().host.addresses.len(), 0, "stopped");
}

#[test]
fn the_lobby_shows_whether_the_server_can_be_reached() {
    let mut world = World::new();
    let server = |world: &World| world.app.state().server.clone();
    assert_eq!(server(&world).status, ServerStatus::Connecting);
    assert_eq!(server(&world).name.as_deref(), Some("127.0.0.1:1"));

    world.line(LineEvent::Lost {
        cause: ClientErrorCode::TlsExpired,
    });
    assert_eq!(server(&world).status, ServerStatus::Unreachable);
    assert_eq!(server(&world).cause, Some(ClientErrorCode::TlsExpired));

    world.effects();
    world.command(Command::RetryServer).unwrap();
    let effects = world.effects();
    assert!(
        matches!(effects[..], [Effect::CloseLine, Effect::OpenLine(..)]),
        "it connects at once: {effects:?}"
    );

    world.line(LineEvent::Connected { user: "me".into() });
    assert_eq!(server(&world).status, ServerStatus::Connected);
    assert_eq!(server(&world).cause, None);
}

#[test]
fn without_a_server_nothing_is_searched_and_nothing_is_connected() {
    let mut world = World::with(Settings::default(), Vec::new(), Launch::default());
    assert_eq!(world.app.state().server.status, ServerStatus::Idle);
    assert!(!world.app.state().settings.welcomed, "the first start");

    for command in [Command::FindPartner, Command::Invite] {
        assert_eq!(world.command(command), Err(CommandErrorCode::NoServer));
    }
    assert!(
        !world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::OpenLine(..) | Effect::StartCall(..)))
    );

    // The link of a friend needs no server of one's own.
    let link = "tandem://join/chat.example.org/7#garden-lantern";
    world.input(Input::Opened(link.into()));
    world.command(Command::JoinOpened).unwrap();
    let plan = world.start_call_plan();
    assert_eq!(plan.server.url, "chat.example.org".parse().unwrap());
    assert_eq!(
        world.app.state().settings.server_url,
        None,
        "for this call only"
    );
}

#[test]
fn the_next_call_gets_the_connection_of_the_one_before() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::FindPartner).unwrap();
    world.call_event(CallEventKind::Registered);
    world.command(Command::Cancel).unwrap();
    world.effects();

    world.command(Command::FindPartner).unwrap();
    let effects = world.effects();
    assert!(!effects.contains(&Effect::CloseLine), "{effects:?}");
    assert!(
        matches!(world.app.state().invitation, Some(Invitation::Ready { .. })),
        "the invite is still there"
    );
}

#[test]
fn a_connection_that_a_call_had_to_close_is_opened_again() {
    let mut world = World::connected_to_server();
    world.invite();
    world.command(Command::FindPartner).unwrap();
    world.command(Command::Cancel).unwrap();
    world.effects();

    world.line(LineEvent::Closed);
    let effects = world.effects();
    assert!(
        matches!(effects[..], [Effect::CloseLine, Effect::OpenLine(..), ..]),
        "{effects:?}"
    );

    world.line(LineEvent::Connected { user: "new".into() });
    assert_eq!(world.app.state().invitation, Some(Invitation::Asking));
}
