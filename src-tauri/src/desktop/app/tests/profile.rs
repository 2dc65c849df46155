//! What others see of the user.

use super::*;
use crate::desktop::state::Theme;

/// The shortest JPEG that is taken: no pixels.
const PICTURE: &str = "data:image/jpeg;base64,/9j/2gACAQI=";

fn shown_to_partner(world: &mut World) -> Profile {
    world.command(Command::FindPartner).unwrap();
    let plan = world.start_call_plan();
    world.command(Command::Cancel).unwrap();
    plan.profile
}

#[test]
fn partners_see_what_the_user_set_and_nothing_else() {
    let mut world = World::new();
    assert_eq!(shown_to_partner(&mut world), Profile::default());

    for command in [
        Command::SetName { name: "Ann".into() },
        Command::SetAbout {
            age: Some(29),
            location: " Lisbon ".into(),
        },
        Command::SetPicture {
            picture: Some(PICTURE.into()),
        },
    ] {
        world.command(command).unwrap();
    }

    let effects = world.effects();
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::SavePicture(Some(picture)) if picture.url() == PICTURE)),
        "the picture is saved: {effects:?}"
    );
    assert_eq!(
        shown_to_partner(&mut world),
        Profile {
            user_name: Some("Ann".into()),
            user_age: Some(29),
            user_location: Some("Lisbon".into()),
            user_picture: Some(PICTURE.into()),
        }
    );

    world
        .command(Command::SetAbout {
            age: None,
            location: String::new(),
        })
        .unwrap();
    world
        .command(Command::SetPicture { picture: None })
        .unwrap();
    assert!(world.effects().contains(&Effect::SavePicture(None)));
    assert_eq!(
        shown_to_partner(&mut world),
        Profile {
            user_name: Some("Ann".into()),
            ..Profile::default()
        }
    );
}

#[test]
fn a_profile_that_no_server_takes_is_refused() {
    let mut world = World::new();
    world.effects();

    for (command, code) in [
        (
            Command::SetAbout {
                age: Some(17),
                location: String::new(),
            },
            CommandErrorCode::BadAge,
        ),
        (
            Command::SetAbout {
                age: None,
                location: "x".repeat(81),
            },
            CommandErrorCode::BadLocation,
        ),
        (
            Command::SetPicture {
                picture: Some("https://example.org/me.jpg".into()),
            },
            CommandErrorCode::BadPicture,
        ),
    ] {
        assert_eq!(world.command(command), Err(code));
    }

    assert_eq!(world.effects(), [], "nothing is saved");
}

#[test]
fn the_saved_picture_is_shown_from_the_start() {
    let world = World::new();
    let app = world.app.with_picture(Picture::parse(PICTURE));
    assert_eq!(app.state().picture.as_deref(), Some(PICTURE));
}

#[test]
fn a_name_of_the_command_line_is_shown_but_not_saved_until_the_user_types_one() {
    let saved = Settings {
        name: "Ann".into(),
        rules_accepted: true,
        ..Settings::default()
    };
    let launch = Launch {
        name: Some("Guest".into()),
        server_url: Some("ws://127.0.0.1:1".parse().unwrap()),
        ..Launch::default()
    };
    let mut world = World::new();
    world.app = App::new(saved, Vec::new(), Access::default(), launch);
    assert_eq!(
        shown_to_partner(&mut world).user_name.as_deref(),
        Some("Guest")
    );
    world.effects();

    let mut saved_name = |command| {
        world.command(command).unwrap();
        let saved = world.effects().into_iter().find_map(|effect| match effect {
            Effect::Save(settings) => Some(settings.name),
            _ => None,
        });
        saved.expect("something is saved")
    };
    let theme = Command::SetTheme { theme: Theme::Dark };
    assert_eq!(saved_name(theme), "Ann");
    let name = "Robin".to_owned();
    assert_eq!(saved_name(Command::SetName { name }), "Robin");
}
