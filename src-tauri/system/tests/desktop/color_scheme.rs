//! The desktop's color scheme and its changes.

use tandem_system::{ColorScheme, SystemError};
use tandem_tests::{Part, require};
use zbus::Variant;

use crate::mock::{Desktop, LIMIT, Mock, Service, Silent};

const PORTAL: Service = Service(
    "org.freedesktop.portal.Desktop",
    "/org/freedesktop/portal/desktop",
    "org.freedesktop.portal.Settings",
);

/// A portal whose setting is this number.
async fn portal(desktop: &Desktop, number: u32) -> Mock {
    let read = format!("ret = dbus.UInt32({number}, variant_level=2)");
    Mock::start(&desktop.session, PORTAL, &[("Read", "ss", "v", &read)]).await
}

async fn change(portal: &Mock, namespace: &str, name: &str, value: Variant<'_>) {
    let arguments = [namespace.into(), name.into(), value];
    portal.emit("SettingChanged", "ssv", &arguments).await;
}

#[tokio::test]
async fn the_portals_number_is_understood() {
    require!(Part::BusMock);
    let meanings = [
        (0, ColorScheme::NoPreference),
        (1, ColorScheme::Dark),
        (2, ColorScheme::Light),
        (77, ColorScheme::NoPreference),
    ];

    for (number, expected) in meanings {
        let desktop = Desktop::start();
        let portal = portal(&desktop, number).await;
        let (scheme, _changes) = ColorScheme::watch_on(&desktop.buses())
            .await
            .expect("the portal answers");
        assert_eq!(scheme, expected, "{number}");
        portal
            .wait_for_call(r#"Read "org.freedesktop.appearance" "color-scheme""#)
            .await;
    }
}

#[tokio::test]
async fn only_changes_of_this_setting_arrive() {
    require!(Part::BusMock);
    let desktop = Desktop::start();
    let portal = portal(&desktop, 0).await;
    let (_scheme, mut changes) = ColorScheme::watch_on(&desktop.buses())
        .await
        .expect("the portal answers");

    let [namespace, name] = ["org.freedesktop.appearance", "color-scheme"];
    change(&portal, namespace, "contrast", Variant::from(2_u32)).await;
    change(&portal, "org.example", name, Variant::from(2_u32)).await;
    change(&portal, namespace, name, Variant::from("dark")).await;
    change(&portal, namespace, name, Variant::from(1_u32)).await;

    let next = tokio::time::timeout(LIMIT, changes.recv()).await;
    assert_eq!(next.expect("a change"), Some(ColorScheme::Dark));

    drop((portal, desktop));
    let end = tokio::time::timeout(LIMIT, changes.recv()).await;
    assert_eq!(end.expect("an end"), None, "with the bus");
}

#[tokio::test]
async fn a_desktop_without_a_portal_is_an_error() {
    require!(Part::MessageBus);
    let desktop = Desktop::start();
    let error = ColorScheme::watch_on(&desktop.buses())
        .await
        .expect_err("no portal");
    assert!(matches!(error, SystemError::NoService(_)), "{error:?}");
}

#[tokio::test]
async fn a_portal_that_never_answers_ends_at_the_timeout() {
    require!(Part::MessageBus);
    let desktop = Desktop::start();
    let _portal = Silent::start(&desktop.session, PORTAL).await;
    let buses = desktop.impatient_buses();

    let watched = tokio::time::timeout(LIMIT, ColorScheme::watch_on(&buses)).await;
    let error = watched
        .expect("the wait is bounded")
        .expect_err("no answer");
    assert!(matches!(error, SystemError::NoAnswer), "{error:?}");
}
