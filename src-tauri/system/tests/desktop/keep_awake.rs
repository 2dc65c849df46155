//! Staying awake: which service is asked for what, in which order, and how it ends.

use std::os::unix::net::UnixListener;

use tandem_system::{Attempt, Bus, Buses, KeepAwake, KeepAwakeError, Means, SystemError};
use tandem_tests::{MessageBus, Part, require};

use crate::mock::{
    Desktop, LIMIT, Mock, Service, Silent, connect, dictionary, until, value, wait_until_gone,
};

const PORTAL: Service = Service(
    "org.freedesktop.portal.Desktop",
    "/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Inhibit",
);
const SESSION_MANAGER: Service = Service(
    "org.gnome.SessionManager",
    "/org/gnome/SessionManager",
    "org.gnome.SessionManager",
);
const SCREEN_SAVER: Service = Service(
    "org.freedesktop.ScreenSaver",
    "/org/freedesktop/ScreenSaver",
    "org.freedesktop.ScreenSaver",
);
const LOGIND: Service = Service(
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
);

/// The portal, whose desktop answers every request with `response`.
async fn portal(bus: &MessageBus, response: u32) -> Mock {
    let inhibit = format!(
        "path = '/org/freedesktop/portal/desktop/request/1_2/t'\n\
         iface = 'org.freedesktop.portal.Request'\n\
         self.AddObject(path, iface, {{}}, [('Close', '', '', '')])\n\
         details = dbus.Dictionary({{}}, signature='sv')\n\
         objects[path].EmitSignal(iface, 'Response', 'ua{{sv}}', [{response}, details])\n\
         ret = dbus.ObjectPath(path)"
    );
    Mock::start(bus, PORTAL, &[("Inhibit", "sua{sv}", "o", &inhibit)]).await
}

async fn session_manager(bus: &MessageBus) -> Mock {
    let methods = [
        ("Inhibit", "susu", "u", "ret = 7"),
        ("Uninhibit", "u", "", ""),
    ];
    Mock::start(bus, SESSION_MANAGER, &methods).await
}

async fn screen_saver(bus: &MessageBus) -> Mock {
    let methods = [
        ("Inhibit", "ss", "u", "ret = 8"),
        ("UnInhibit", "u", "", ""),
    ];
    Mock::start(bus, SCREEN_SAVER, &methods).await
}

async fn logind(bus: &MessageBus) -> Mock {
    Mock::template(bus, LOGIND, "logind", "{}").await
}

/// Each lock that logind has given and not got back: what, who, why, mode.
async fn locks(desktop: &Desktop) -> Vec<[String; 4]> {
    let connection = connect(&desktop.system).await;
    let Service(name, path, interface) = LOGIND;
    let reply = connection
        .call_method(Some(name), path, Some(interface), "ListInhibitors", &())
        .await
        .expect("logind answers");
    let locks: Vec<(String, String, String, String, u32, u32)> =
        reply.body().deserialize().expect("a list of locks");
    locks
        .into_iter()
        .map(|(what, who, why, mode, ..)| [what, who, why, mode])
        .collect()
}

async fn start(buses: &Buses) -> Result<KeepAwake, KeepAwakeError> {
    tokio::time::timeout(LIMIT * 4, KeepAwake::start_on(buses, "Tandem", "In a call"))
        .await
        .expect("the wait is bounded")
}

fn attempted(error: &KeepAwakeError) -> Vec<Means> {
    error.attempts.iter().map(|attempt| attempt.means).collect()
}

/// All of them, in order.
const ALL: [Means; 4] = [
    Means::Portal,
    Means::SessionManager,
    Means::ScreenSaver,
    Means::Logind,
];

#[tokio::test]
async fn the_portal_keeps_screen_and_computer_awake_until_the_guard_is_dropped() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let portal = portal(&desktop.session, 0).await;
    let others = [
        session_manager(&desktop.session).await,
        screen_saver(&desktop.session).await,
    ];
    let _logind = logind(&desktop.system).await;

    let awake = start(&desktop.buses()).await.expect("the portal agrees");
    assert_eq!(awake.means(), [Means::Portal]);

    let calls = portal.calls("Inhibit").await;
    let [call] = calls.as_slice() else {
        panic!("one request: {calls:?}");
    };
    assert_eq!(value::<u32>(&call[1]), 4 | 8, "suspend and idle");
    let reason: String = value(&dictionary(&call[2])["reason"]);
    assert_eq!(reason, "In a call");
    for other in &others {
        let asked = other.calls("Inhibit").await;
        assert!(asked.is_empty(), "nobody else is asked: {asked:?}");
    }
    assert!(locks(&desktop).await.is_empty(), "nor logind");

    drop(awake);
    portal.wait_for_call("Close").await;
}

#[tokio::test]
async fn without_a_portal_the_session_manager_is_asked() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let manager = session_manager(&desktop.session).await;
    let screen_saver = screen_saver(&desktop.session).await;

    let awake = start(&desktop.buses()).await.expect("it agrees");
    assert_eq!(awake.means(), [Means::SessionManager]);

    let call = &manager.calls("Inhibit").await[0];
    assert_eq!(value::<String>(&call[0]), "Tandem");
    assert_eq!(value::<String>(&call[2]), "In a call");
    assert_eq!(value::<u32>(&call[3]), 4 | 8, "suspend and idle");
    assert!(screen_saver.calls("Inhibit").await.is_empty());

    drop(awake);
    manager.wait_for_call("Uninhibit 7").await;
}

#[tokio::test]
async fn a_portal_whose_desktop_refuses_is_passed_over() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let _portal = portal(&desktop.session, 2).await;
    let _manager = session_manager(&desktop.session).await;

    let awake = start(&desktop.buses()).await.expect("the manager agrees");
    assert_eq!(awake.means(), [Means::SessionManager]);
}

#[tokio::test]
async fn the_screen_saver_is_asked_for_the_screen_and_logind_for_the_computer() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let screen_saver = screen_saver(&desktop.session).await;
    let _logind = logind(&desktop.system).await;

    let awake = start(&desktop.buses()).await.expect("both agree");
    assert_eq!(awake.means(), [Means::ScreenSaver, Means::Logind]);
    screen_saver
        .wait_for_call(r#"Inhibit "Tandem" "In a call""#)
        .await;
    assert_eq!(locks(&desktop).await.len(), 1);

    drop(awake);
    screen_saver.wait_for_call("UnInhibit 8").await;
    until("the lock is free", async || {
        locks(&desktop).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_screen_saver_is_enough_where_logind_is_missing() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let _screen_saver = screen_saver(&desktop.session).await;

    let awake = start(&desktop.buses()).await.expect("it agrees");
    assert_eq!(awake.means(), [Means::ScreenSaver]);
}

#[tokio::test]
async fn without_a_desktop_logind_keeps_the_computer_awake() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let _logind = logind(&desktop.system).await;

    let awake = start(&desktop.buses()).await.expect("logind agrees");
    assert_eq!(awake.means(), [Means::Logind]);
    let expected = ["idle:sleep", "Tandem", "In a call", "block"].map(String::from);
    assert_eq!(locks(&desktop).await, [expected]);

    drop(awake);
    until("the lock is free", async || {
        locks(&desktop).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_desktop_without_any_of_these_services_is_an_error_that_names_them() {
    require!(Part::MessageBus);
    let desktop = Desktop::start();

    let error = start(&desktop.buses()).await.expect_err("nobody is there");
    assert_eq!(attempted(&error), ALL, "in this order");
    for Attempt { means, error } in error.attempts {
        assert!(
            matches!(error, SystemError::NoService(_)),
            "{means}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_machine_without_buses_is_an_error() {
    let missing = || Bus::Address("unix:path=/no/such/bus".into());
    let buses = Buses {
        session: missing(),
        system: missing(),
        timeout: LIMIT,
    };

    let error = start(&buses).await.expect_err("nobody is there");
    assert_eq!(attempted(&error), ALL);
    for Attempt { means, error } in error.attempts {
        assert!(matches!(error, SystemError::NoBus(_)), "{means}: {error:?}");
    }
}

#[tokio::test]
async fn a_bus_that_never_answers_ends_at_the_timeout() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("bus");
    // The system accepts connections for it, and nobody reads them.
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let silent = || Bus::Address(format!("unix:path={}", socket.display()));
    let buses = Buses {
        session: silent(),
        system: silent(),
        timeout: std::time::Duration::from_millis(100),
    };

    let error = start(&buses).await.expect_err("nobody answers");
    assert_eq!(attempted(&error), ALL);
    for Attempt { means, error } in error.attempts {
        assert!(matches!(error, SystemError::NoAnswer), "{means}: {error:?}");
    }
}

#[tokio::test]
async fn what_a_slow_service_grants_after_the_timeout_ends_with_its_connection() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let mut portal = Silent::start(&desktop.session, PORTAL).await;
    let buses = desktop.impatient_buses();

    let error = start(&buses).await.expect_err("nobody answers in time");
    assert_eq!(attempted(&error), ALL, "the others are asked");
    assert!(
        matches!(error.attempts[0].error, SystemError::NoAnswer),
        "{error:?}"
    );

    let call = portal.next_call().await;
    let caller = call.header().sender().expect("a caller").to_string();
    wait_until_gone(&desktop.session, &caller).await;
}

#[test]
fn an_inhibition_ends_even_if_the_runtime_ended_before_it() {
    require!(Part::BusMock);
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let desktop = Desktop::start();
    let (ending, other) = (runtime(), runtime());
    let mut manager = other.block_on(Silent::start(&desktop.session, SESSION_MANAGER));

    let buses = desktop.buses();
    let starting = ending.spawn(async move { start(&buses).await });
    let caller = other.block_on(async {
        let call = manager.next_call().await;
        manager.reply(&call, &7_u32).await;
        call.header().sender().expect("a caller").to_string()
    });
    let started = other.block_on(starting).expect("no panic");
    let awake = started.expect("it agrees");

    drop(ending);
    drop(awake);
    other.block_on(wait_until_gone(&desktop.session, &caller));
}
