//! Scenarios of cameras, microphones and the preview.

use tandem_media::error::{MediaEvent, MediaPart};

use super::*;
use crate::desktop::state::{InCall, PreviewStatus, Theme};

#[test]
fn the_app_starts_with_a_list_of_devices_and_the_preview() {
    let mut world = World::new();
    let effects = world.effects();
    assert_eq!(
        effects[0],
        Effect::ListDevices,
        "the menus need the devices"
    );

    let Some(Effect::StartPreview(id, VideoSpec::Test, _)) = effects
        .iter()
        .find(|effect| matches!(effect, Effect::StartPreview(..)))
    else {
        panic!("the preview opens: {effects:?}")
    };

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Starting,
        "the camera is being opened"
    );

    world.input(Input::Preview(*id, Ok(())));
    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::On,
        "the camera is open"
    );
}

#[test]
fn camera_off_releases_the_camera_in_the_lobby_and_in_a_call() {
    let mut world = World::new();
    world.effects();
    world.command(Command::SetCameraOn { on: false }).unwrap();

    assert!(
        world.effects().contains(&Effect::StopPreview),
        "released in the lobby"
    );

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Off,
        "the page shows it"
    );

    world.connect_known();
    assert!(
        !world.start_call_plan().camera_on,
        "a call starts with the camera as it was in the lobby"
    );

    world.command(Command::SetCameraOn { on: true }).unwrap();
    assert!(
        world
            .effects()
            .iter()
            .any(|e| matches!(e, Effect::SetCameraOn(_, true))),
        "on again in the call"
    );

    let Screen::InCall(call) = world.screen() else {
        panic!("in a call")
    };

    assert!(call.camera_on, "the page shows it");
}

#[test]
fn a_hidden_window_releases_the_lobby_devices_but_not_those_of_a_call() {
    let mut world = World::new();
    world.effects();
    world.input(Input::Visible(false));

    assert_eq!(
        world.effects(),
        [Effect::StopPreview, Effect::StopMonitor],
        "hidden"
    );

    world.input(Input::Visible(true));
    assert!(
        matches!(
            world.effects()[..],
            [Effect::StartPreview(..), Effect::StartMonitor(_)]
        ),
        "visible again"
    );

    world.connect();
    world.effects();
    world.input(Input::Visible(false));

    assert_eq!(world.effects(), [], "a minimized call keeps sending");
}

#[test]
fn a_failed_camera_is_reported_once_and_retried_when_something_changes() {
    let mut world = World::new();
    let id = world.started_preview().expect("the preview opens");

    world.input(Input::Preview(id, Err(in_use())));
    assert_eq!(world.problems(), ["CAM_IN_USE"], "reported");
    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Failed,
        "shown in the preview"
    );

    world.effects();
    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    assert_eq!(
        world.started_preview(),
        None,
        "another theme is no reason to retry"
    );

    world.command(Command::RefreshDevices).unwrap();
    let id = world.started_preview().expect("retried");
    world.input(Input::Preview(id, Ok(())));
    assert!(world.problems().is_empty(), "the problem is solved");
}

#[test]
fn a_call_without_a_camera_shows_that_no_video_is_sent() {
    let sends = |world: &World| match world.screen() {
        Screen::InCall(call) => call.sends_video,
        screen => panic!("{screen:?}"),
    };

    let failed = || {
        CallEventKind::Media(MediaEvent::Failed {
            part: MediaPart::Camera,
            error: in_use(),
        })
    };

    let mut world = World::new();
    world.command(Command::FindPartner).unwrap();
    world.call_event(failed());
    world.call_event(matched());
    world.call_event(CallEventKind::Connected);

    assert_eq!(
        (sends(&world), world.problems()),
        (false, vec!["CAM_IN_USE"]),
        "it failed before the partner was found"
    );

    world.command(Command::SetCameraOn { on: false }).unwrap();
    world.command(Command::SetCameraOn { on: true }).unwrap();
    assert!(sends(&world), "the camera is retried");
    world.call_event(failed());

    assert!(!sends(&world), "it failed again");
    world
        .command(Command::SetCamera {
            id: Some("none".into()),
        })
        .unwrap();
    assert!(!sends(&world), "no camera is chosen");
    world.command(Command::SetCamera { id: None }).unwrap();

    assert!(sends(&world), "another camera may work");
    world.call_event(failed());
    world.call_event(ended(EndCode::PartnerLeft));
    world.command(Command::Next).unwrap();

    assert!(
        world.problems().is_empty(),
        "the next call opens the camera again"
    );
}

#[test]
fn the_problem_of_a_call_s_device_stays_until_the_device_works_again() {
    for part in [MediaPart::Camera, MediaPart::Microphone, MediaPart::Speaker] {
        let mut world = World::new();
        world.connect();
        world.call_event(CallEventKind::Media(MediaEvent::Failed {
            part,
            error: in_use(),
        }));
        world.effects();

        // As when any device is plugged in, or when the user clicks "Try again".
        world.command(Command::RefreshDevices).unwrap();
        world.input(Input::Devices(Devices::default(), Vec::new()));
        assert_eq!(
            world.problems(),
            ["CAM_IN_USE"],
            "{part:?}: nothing is solved"
        );
        assert!(
            world
                .effects()
                .iter()
                .any(|effect| matches!(effect, Effect::RetryDevices(_))),
            "{part:?}: the call tries it"
        );

        world.call_event(CallEventKind::Media(MediaEvent::Recovered { part }));
        assert!(world.problems().is_empty(), "{part:?}: it works");
        let Screen::InCall(call) = world.screen() else {
            panic!("in a call")
        };
        assert!(call.sends_video, "{part:?}");
    }
}

#[test]
fn mute_is_remembered_before_in_and_after_calls() {
    let mut world = World::new();
    world.effects();
    world.command(Command::SetMuted { muted: true }).unwrap();
    let effects = world.effects();
    assert!(
        effects.contains(&Effect::StopMonitor),
        "a muted microphone is released: {effects:?}"
    );
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Save(saved) if saved.muted)),
        "and stays muted after a restart: {effects:?}"
    );

    world.connect_known();
    let Screen::InCall(call) = world.screen() else {
        panic!("a call")
    };
    assert!(call.muted, "the call starts muted");
    world.command(Command::HangUp).unwrap();

    world.connect();
    world.command(Command::SetMuted { muted: false }).unwrap();
    world.command(Command::SetMuted { muted: true }).unwrap();

    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "muted"
    );

    world.command(Command::Next).unwrap();
    world.find_partner();
    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "still muted with the next partner"
    );

    world.command(Command::HangUp).unwrap();
    world.command(Command::ToLobby).unwrap();
    world.connect();

    assert!(
        matches!(world.screen(), Screen::InCall(InCall { muted: true, .. })),
        "so is the next call"
    );
}

#[test]
fn a_call_takes_over_the_open_camera_and_the_lobby_gets_it_back() {
    let mut world = World::new();
    let id = world.started_preview().expect("the preview opens");
    world.input(Input::Preview(id, Ok(())));
    world.command(Command::FindPartner).unwrap();
    let effects = world.effects();

    let [
        Effect::CloseLine,
        Effect::StopMonitor,
        Effect::HandOverPreview,
        Effect::StartCall(_, plan),
    ] = &effects[..]
    else {
        panic!("the camera stays open: {effects:?}")
    };

    assert_eq!(
        (&plan.video, plan.video_quality.format),
        (&VideoSpec::Test, VideoQuality::default().format),
        "the call sends what the preview showed"
    );

    world.command(Command::Cancel).unwrap();
    let effects = world.effects();
    assert!(
        matches!(
            effects[..],
            [
                Effect::ShowRemote(false),
                Effect::EndCall(_),
                Effect::StartPreview(..),
                Effect::StartMonitor(_),
                // The call has made the connection.
                Effect::UseLine(_),
            ]
        ),
        "the preview takes the camera back: {effects:?}"
    );
}

#[test]
fn the_camera_of_an_ended_call_is_released_where_the_lobby_does_not_need_it() {
    let mut world = World::new();
    world.connect();
    world.effects();
    world.call_event(ended(EndCode::PartnerLeft));

    assert!(
        world.effects().contains(&Effect::ReleaseCamera),
        "the last screen of a call shows no preview"
    );
}

#[test]
fn a_listing_that_works_again_ends_its_problem_and_no_other() {
    let mut world = World::new();
    let failed = || {
        vec![
            (ProblemPlace::Speaker, in_use()),
            (ProblemPlace::Camera, in_use()),
        ]
    };
    world.input(Input::Devices(Devices::default(), failed()));
    assert_eq!(world.problems().len(), 2);

    let camera_only = vec![(ProblemPlace::Camera, in_use())];
    world.input(Input::Devices(Devices::default(), camera_only));
    assert_eq!(world.problems().len(), 1, "speakers are listed again");

    world.input(Input::Devices(Devices::default(), Vec::new()));
    assert!(world.problems().is_empty(), "so are cameras");

    world.input(Input::SpeakerTestFailed(in_use()));
    world.input(Input::Devices(Devices::default(), Vec::new()));
    assert_eq!(
        world.problems().len(),
        1,
        "a list does not repair a speaker"
    );
}
