//! Notifications: what the server gets, and what comes back.

use std::time::Duration;

use tandem_system::{
    Action, App, Bus, Buses, Event, EventKind, Events, Notification, Notifications, Shown, Sound,
    SystemError, Timeout, Urgency,
};
use tandem_tests::{MessageBus, Part, require};
use zbus::{OwnedVariant, Variant};

use crate::mock::{Desktop, LIMIT, Mock, Service, Silent, connect, dictionary, value};

const SERVER: Service = Service(
    "org.freedesktop.Notifications",
    "/org/freedesktop/Notifications",
    "org.freedesktop.Notifications",
);

/// A server like that of most desktops.
const USUAL: &str = "actions body body-markup icon-static persistence sound";

async fn server(bus: &MessageBus, capabilities: &str) -> Mock {
    let parameters = format!(r#"{{"capabilities": "{capabilities}"}}"#);
    Mock::template(bus, SERVER, "notification_daemon", &parameters).await
}

fn app() -> App {
    App {
        name: "Tandem".into(),
        id: "org.tandemchat.tandem".into(),
        desktop_entry: "tandem".into(),
        open_label: "Open".into(),
    }
}

async fn connected(buses: &Buses) -> (Notifications, Events) {
    Notifications::connect_to(buses, app())
        .await
        .expect("there is a bus")
}

fn ring() -> Notification {
    Notification {
        body: "Ada is calling".into(),
        actions: vec![
            Action::new("accept", "Accept"),
            Action::new("decline", "Decline"),
        ],
        urgency: Urgency::Critical,
        timeout: Timeout::Never,
        ..Notification::new("ring", "Incoming call")
    }
}

/// Waits for the next event.
async fn next(events: &mut Events) -> Event {
    tokio::time::timeout(LIMIT, events.recv())
        .await
        .expect("an event comes")
        .expect("the connection stands")
}

fn event(tag: &str, kind: EventKind) -> Event {
    Event {
        tag: tag.into(),
        kind,
        activation_token: None,
    }
}

/// The arguments of the last `Notify`, which has eight.
async fn last_notify(server: &Mock) -> Vec<OwnedVariant> {
    let mut calls = server.calls("Notify").await;
    calls.pop().expect("a notification was shown")
}

async fn emit_action(server: &Mock, id: u32, key: &str) {
    let arguments = [Variant::from(id), Variant::from(key)];
    server.emit("ActionInvoked", "us", &arguments).await;
}

#[tokio::test]
async fn a_ring_is_shown_and_the_answer_arrives() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, USUAL).await;
    let (notifications, mut events) = connected(&desktop.buses()).await;

    let shown = notifications.show(ring()).await.expect("it is shown");
    assert_eq!(shown, Shown { has_actions: true });

    let arguments = last_notify(&server).await;
    assert_eq!(value::<String>(&arguments[0]), "Tandem");
    assert_eq!(value::<u32>(&arguments[1]), 0, "it replaces nothing");
    assert_eq!(value::<String>(&arguments[2]), "tandem", "the icon");
    assert_eq!(value::<String>(&arguments[3]), "Incoming call");
    assert_eq!(value::<String>(&arguments[4]), "Ada is calling");
    assert_eq!(
        value::<Vec<String>>(&arguments[5]),
        ["default", "Open", "accept", "Accept", "decline", "Decline"]
    );
    assert_eq!(value::<i32>(&arguments[7]), 0, "it does not expire");

    let hints = dictionary(&arguments[6]);
    assert_eq!(value::<u8>(&hints["urgency"]), 2);
    assert_eq!(value::<String>(&hints["desktop-entry"]), "tandem");
    assert!(value::<bool>(&hints["suppress-sound"]), "the app rings");

    let token = [Variant::from(1_u32), Variant::from("token")];
    server.emit("ActivationToken", "us", &token).await;
    emit_action(&server, 1, "accept").await;
    let closed = [Variant::from(1_u32), Variant::from(2_u32)];
    server.emit("NotificationClosed", "uu", &closed).await;

    let answer = Event {
        activation_token: Some("token".into()),
        ..event("ring", EventKind::Action("accept".into()))
    };
    assert_eq!(next(&mut events).await, answer);
    let end = event("ring", EventKind::Closed);
    assert_eq!(next(&mut events).await, end);
}

#[tokio::test]
async fn a_click_is_not_an_answer() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, USUAL).await;
    let (notifications, mut events) = connected(&desktop.buses()).await;

    notifications.show(ring()).await.expect("it is shown");
    emit_action(&server, 1, "default").await;
    let click = event("ring", EventKind::Clicked);
    assert_eq!(next(&mut events).await, click);
}

#[tokio::test]
async fn closing_takes_it_off_the_screen() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, USUAL).await;
    let (notifications, mut events) = connected(&desktop.buses()).await;
    let other = Notification::new("other", "Somebody is here");

    notifications.show(ring()).await.expect("it is shown");
    notifications.show(other).await.expect("it is shown");
    notifications.close("ring").await.expect("it is closed");
    server.wait_for_call("CloseNotification 1").await;
    let end = event("ring", EventKind::Closed);
    assert_eq!(next(&mut events).await, end);

    notifications.close("ring").await.expect("nothing to close");
    notifications.close_all().await.expect("it is closed");
    server.wait_for_call("CloseNotification 2").await;
    let end = event("other", EventKind::Closed);
    assert_eq!(
        next(&mut events).await,
        end,
        "and no second end of the ring"
    );
    assert_eq!(server.calls("CloseNotification").await.len(), 2);
}

#[tokio::test]
async fn the_same_tag_replaces_and_a_new_one_does_not() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, USUAL).await;
    let (notifications, _events) = connected(&desktop.buses()).await;
    let replaced = async |tag: &str| {
        let notification = Notification::new(tag, "Title");
        notifications.show(notification).await.expect("it is shown");
        value::<u32>(&last_notify(&server).await[1])
    };

    assert_eq!(replaced("ring").await, 0);
    assert_eq!(replaced("ring").await, 1, "the first one's number");
    assert_eq!(replaced("other").await, 0);
}

#[tokio::test]
async fn a_server_without_actions_gets_none() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, "body").await;
    let (notifications, _events) = connected(&desktop.buses()).await;

    let shown = notifications.show(ring()).await.expect("it is shown");
    assert_eq!(shown, Shown { has_actions: false });
    let arguments = last_notify(&server).await;
    assert_eq!(value::<Vec<String>>(&arguments[5]), [""; 0]);
}

#[tokio::test]
async fn a_name_cannot_bring_markup() {
    require!(Part::BusMock);
    let name = r#"<a href="https://evil">Ada</a> & <b>Bob</b>"#;
    let escaped =
        "&lt;a href=&quot;https://evil&quot;&gt;Ada&lt;/a&gt; &amp; &lt;b&gt;Bob&lt;/b&gt;";

    for (capabilities, expected) in [(USUAL, escaped), ("body actions", name)] {
        let desktop = Desktop::start();
        let server = server(&desktop.session, capabilities).await;
        let (notifications, _events) = connected(&desktop.buses()).await;
        let notification = Notification {
            body: name.into(),
            ..Notification::new("tag", name)
        };

        notifications.show(notification).await.expect("it is shown");
        let arguments = last_notify(&server).await;
        assert_eq!(value::<String>(&arguments[4]), expected, "{capabilities}");
        assert_eq!(
            value::<String>(&arguments[3]),
            name,
            "a title is plain text"
        );
    }
}

#[tokio::test]
async fn hostile_text_is_shown_without_what_could_harm() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, USUAL).await;
    let (notifications, _events) = connected(&desktop.buses()).await;
    let notification = Notification {
        body: "&".repeat(100_000),
        sound: Sound::Usual,
        timeout: Timeout::After(Duration::MAX),
        ..Notification::new("tag", "A\0d\u{202e}a\n\u{1b}[2J")
    };

    notifications.show(notification).await.expect("it is shown");
    let arguments = last_notify(&server).await;
    assert_eq!(value::<String>(&arguments[3]), "Ada [2J");
    let body = value::<String>(&arguments[4]);
    assert_eq!(
        body,
        format!("{}…", "&amp;".repeat(399)),
        "cut, then escaped"
    );
    assert_eq!(value::<i32>(&arguments[7]), i32::MAX);
    let hints = dictionary(&arguments[6]);
    assert!(!value::<bool>(&hints["suppress-sound"]), "as usual");
}

#[tokio::test]
async fn another_program_cannot_answer_in_the_servers_name() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let server = server(&desktop.session, USUAL).await;
    let (notifications, mut events) = connected(&desktop.buses()).await;
    notifications.show(ring()).await.expect("it is shown");

    // To everyone on the bus: as a signal it passes every filter but the sender's.
    let stranger = connect(&desktop.session).await;
    let names = stranger
        .call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "ListNames",
            &(),
        )
        .await
        .expect("the bus answers");
    let names: Vec<String> = names.body().deserialize().expect("names");
    for name in names.iter().filter(|name| name.starts_with(':')) {
        let Service(_, path, interface) = SERVER;
        stranger
            .emit_signal(
                Some(name.as_str()),
                path,
                interface,
                "ActionInvoked",
                &(1_u32, "accept"),
            )
            .await
            .expect("it is sent");
    }

    emit_action(&server, 1, "decline").await;
    let answer = event("ring", EventKind::Action("decline".into()));
    assert_eq!(next(&mut events).await, answer, "the server's own");
}

#[tokio::test]
async fn what_a_server_showed_is_gone_when_it_ends_and_its_successor_is_used() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let (notifications, mut events) = connected(&desktop.buses()).await;

    let first = server(&desktop.session, USUAL).await;
    notifications.show(ring()).await.expect("it is shown");
    drop(first);
    let end = event("ring", EventKind::Closed);
    assert_eq!(next(&mut events).await, end);

    let second = server(&desktop.session, "body").await;
    let shown = notifications.show(ring()).await.expect("it is shown");
    assert_eq!(shown, Shown { has_actions: false }, "the new one has none");
    let arguments = last_notify(&second).await;
    assert_eq!(
        value::<u32>(&arguments[1]),
        0,
        "the old number means nothing"
    );
}

#[tokio::test]
async fn a_desktop_without_a_server_is_an_error() {
    require!(Part::MessageBus);
    let desktop = Desktop::start();
    let (notifications, _events) = connected(&desktop.buses()).await;

    let error = notifications.show(ring()).await.expect_err("no server");
    assert!(matches!(error, SystemError::NoService(_)), "{error:?}");
    notifications.close("ring").await.expect("nothing to close");
}

#[tokio::test]
async fn a_machine_without_a_bus_is_an_error() {
    let buses = Buses {
        session: Bus::Address("unix:path=/no/such/bus".into()),
        ..Buses::default()
    };
    let error = Notifications::connect_to(&buses, app())
        .await
        .expect_err("no bus");
    assert!(matches!(error, SystemError::NoBus(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_ends_at_the_timeout() {
    require!(Part::MessageBus);
    let desktop = Desktop::start();
    let _server = Silent::start(&desktop.session, SERVER).await;
    let (notifications, _events) = connected(&desktop.impatient_buses()).await;

    let shown = tokio::time::timeout(LIMIT, notifications.show(ring())).await;
    let error = shown.expect("the wait is bounded").expect_err("no answer");
    assert!(matches!(error, SystemError::NoAnswer), "{error:?}");
}

#[tokio::test]
async fn a_notification_that_nobody_waits_for_any_more_is_closed_when_it_comes() {
    require!(Part::MessageBus);
    let desktop = Desktop::start();
    let mut server = Silent::start(&desktop.session, SERVER).await;
    let (notifications, _events) = connected(&desktop.buses()).await;

    let notify = {
        let show = notifications.show(ring());
        tokio::pin!(show);
        let asked = async {
            let capabilities = server.next_call().await;
            server.reply(&capabilities, &vec!["body"]).await;
            server.next_call().await
        };
        tokio::select! {
            _ = &mut show => panic!("the server has not answered yet"),
            notify = asked => notify,
        }
        // The request is dropped here, as at its timeout.
    };
    server.reply(&notify, &5_u32).await;

    let close = server.next_call().await;
    let member = close.header().member().map(ToString::to_string);
    assert_eq!(member.as_deref(), Some("CloseNotification"));
    let id: u32 = close.body().deserialize().expect("a number");
    assert_eq!(id, 5, "the one that came too late");
}

#[tokio::test]
async fn the_events_end_with_the_bus() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let _server = server(&desktop.session, USUAL).await;
    let (notifications, mut events) = connected(&desktop.buses()).await;
    notifications.show(ring()).await.expect("it is shown");

    drop(desktop);
    let ended = async { while events.recv().await.is_some() {} };
    tokio::time::timeout(LIMIT, ended)
        .await
        .expect("the events end");
    let error = notifications.show(ring()).await.expect_err("no bus");
    assert!(matches!(error, SystemError::NoBus(_)), "{error:?}");
}
