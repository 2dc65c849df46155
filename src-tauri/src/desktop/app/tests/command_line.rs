//! Scenarios of what the command line sets for one run.

use super::*;
use crate::desktop::state::{MenuDevice, PreviewStatus, Theme};

#[test]
fn what_the_command_line_says_is_not_saved() {
    let mut world = World::new();
    world.effects();
    world
        .command(Command::SetName { name: "Ann".into() })
        .unwrap();
    let [Effect::Save(saved)] = &world.effects()[..] else {
        panic!("the name is saved")
    };

    assert_eq!(
        saved.server_url,
        Settings::default().server_url,
        "the address from the command line is not saved"
    );

    world
        .command(Command::SetServerUrl {
            url: "ws://192.0.2.7:9000".into(),
        })
        .unwrap();
    let [
        Effect::Save(saved),
        Effect::CloseLine,
        Effect::OpenLine(_, config),
    ] = &world.effects()[..]
    else {
        panic!("the address is saved and used")
    };
    assert_eq!(Some(&config.url), saved.server_url.as_ref());

    assert_eq!(
        saved.server_url,
        "ws://192.0.2.7:9000/ws".parse().ok(),
        "an address that the user typed is saved, with its path"
    );
}

#[test]
fn devices_of_the_command_line_leave_the_saved_ones_alone() {
    let saved = Settings {
        camera: Some("name:Front".into()),
        microphone: Some("Headset".into()),
        speaker: Some("Room".into()),
        ..Settings::default()
    };
    let launch = Launch {
        video: Some(VideoSpec::Test),
        audio: Some(AudioSource::None),
        speaker: Some(AudioSink::None),
        ..Launch::default()
    };
    let mut world = World::first(saved.clone(), Vec::new(), launch);
    assert_eq!(world.app.video(), VideoSpec::Test);
    world.effects();

    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    let [Effect::Save(first)] = &world.effects()[..] else {
        panic!("the theme is saved")
    };
    let expected = Settings {
        theme: Theme::Dark,
        ..saved
    };
    assert_eq!(**first, expected);

    // What the user chooses in the window is saved, and nothing else.
    let mut expected = expected;
    type Change = fn(&mut Settings);
    let choices: [(Command, Change); 3] = [
        (Command::SetCamera { id: None }, |saved| saved.camera = None),
        (Command::SetMicrophone { id: None }, |saved| {
            saved.microphone = None;
        }),
        (Command::SetSpeaker { id: None }, |saved| {
            saved.speaker = None;
        }),
    ];
    for (command, change) in choices {
        change(&mut expected);
        world.command(command).unwrap();
        let effects = world.effects();
        let saved = effects.iter().find_map(|effect| match effect {
            Effect::Save(saved) => Some(&**saved),
            _ => None,
        });
        assert_eq!(saved, Some(&expected), "{effects:?}");
    }
}

#[test]
fn a_chosen_device_replaces_that_of_the_command_line() {
    let mut world = World::new();
    let devices = Devices {
        cameras: vec![MenuDevice {
            id: "name:Front".into(),
            name: "Front".into(),
        }],
        ..Devices::default()
    };

    world.input(Input::Devices(devices, Vec::new()));
    world.effects();
    world
        .command(Command::SetCamera {
            id: Some("name:Front".into()),
        })
        .unwrap();
    let effects = world.effects();

    assert!(
        matches!(
            &effects[..],
            [
                Effect::Save(_),
                Effect::StopPreview,
                Effect::StartPreview(_, VideoSpec::Camera(_), _)
            ]
        ),
        "the preview changes at once: {effects:?}"
    );

    world
        .command(Command::SetCamera {
            id: Some(NONE.into()),
        })
        .unwrap();

    assert_eq!(
        world.app.state().preview.status,
        PreviewStatus::Off,
        "no camera is a choice too"
    );
}

#[test]
fn size_codec_and_bitrate_of_the_command_line_reach_preview_and_call() {
    let video_quality = VideoQuality {
        format: VideoFormat {
            width: 640,
            height: 360,
            fps: 15.0,
        },
        max_bitrate_bps: 800_000,
        ..VideoQuality::default()
    };

    let launch = Launch {
        size: Some((640, 360)),
        fps: Some(15.0),
        max_bitrate_bps: Some(800_000),
        ..at_server()
    };
    let mut world = World::with(Settings::default(), Vec::new(), launch);

    assert!(
        world.effects().iter().any(|effect| matches!(
            effect,
            Effect::StartPreview(_, _, format) if *format == video_quality.format
        )),
        "the preview opens in the format of the call"
    );

    world.command(Command::FindPartner).unwrap();
    assert_eq!(
        world.start_call_plan().video_quality,
        video_quality,
        "the call gets all of it"
    );
}
