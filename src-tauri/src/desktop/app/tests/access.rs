//! Scenarios of a user of private servers: the token, and the certificates to trust.

use tandem_signaling::client::BearerToken;

use super::*;
use crate::desktop::command::Secret;
use crate::desktop::state::{Theme, TokenState};

/// An authority whose key is lost. Valid until 2126.
const AUTHORITY: &str = include_str!("data/authority.pem");
const SERVER: &str = "wss://chat.example.org/ws";
const OTHER: &str = "wss://other.example.org/ws";

fn app(server: Option<&str>, launch: Launch) -> World {
    let settings = Settings {
        server_url: server.map(|url| url.parse().unwrap()),
        ..Settings::default()
    };
    let mut world = World::with(settings, Vec::new(), launch);
    world.effects();
    world
}

fn with_token(text: &str) -> Launch {
    Launch {
        token: Some(token(text)),
        ..Launch::default()
    }
}

fn token(text: &str) -> BearerToken {
    BearerToken::new(text).unwrap()
}

fn set_token(text: &str) -> Command {
    Command::SetToken {
        token: Secret(text.into()),
    }
}

fn set_ca_file(path: &str) -> Command {
    Command::SetCaFile { path: path.into() }
}

impl World {
    fn set_server(&mut self, url: &str) {
        self.command(Command::SetServerUrl { url: url.into() })
            .expect("an address");
    }

    /// The token that goes to the server at `url`.
    fn token_for(&self, url: &str) -> Option<BearerToken> {
        self.app.server_config(url.parse().unwrap()).token
    }

    fn shown_token(&self) -> Option<TokenState> {
        self.app.state().token.clone()
    }
}

fn shown(server: &str, in_use: bool) -> Option<TokenState> {
    Some(TokenState {
        server: server.into(),
        in_use,
        this_run_only: false,
    })
}

#[test]
fn a_token_goes_to_the_server_for_which_it_was_entered_and_to_no_other() {
    let mut world = app(Some(SERVER), Launch::default());
    world.command(set_token(" abc.def \n")).unwrap();
    assert_eq!(world.shown_token(), shown("chat.example.org", true));
    assert_eq!(world.token_for(SERVER), Some(token("abc.def")));

    let effects = world.effects();
    let saved = ServerToken {
        server: SERVER.parse().unwrap(),
        token: token("abc.def"),
    };
    assert!(effects.contains(&Effect::SaveToken(Some(Box::new(saved)))));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::OpenLine(_, config) if config.token.is_some())),
        "the connection is made again with it: {effects:?}"
    );

    for other in [
        OTHER,
        "ws://chat.example.org/ws",
        "wss://chat.example.org:8443/ws",
        "wss://chat.example.org.example.net/ws",
    ] {
        assert_eq!(world.token_for(other), None, "{other}");
    }

    world.set_server(OTHER);
    assert_eq!(
        world.shown_token(),
        shown("chat.example.org", false),
        "a new server does not inherit it"
    );

    world.set_server(SERVER);
    assert_eq!(world.shown_token(), shown("chat.example.org", true));
    world.command(Command::ForgetToken).unwrap();
    assert_eq!((world.shown_token(), world.token_for(SERVER)), (None, None));
    assert!(world.effects().contains(&Effect::SaveToken(None)));
    assert_eq!(
        world.command(Command::ForgetToken),
        Err(CommandErrorCode::NotNow)
    );
}

#[test]
fn a_token_that_is_none_is_refused_and_costs_nothing() {
    let mut world = app(Some(SERVER), Launch::default());
    world.command(set_token("first")).unwrap();
    world.effects();

    for text in ["", "  ", "a b", "abc\ndef", "a\u{0}b", "ключ"] {
        assert_eq!(
            world.command(set_token(text)),
            Err(CommandErrorCode::BadToken),
            "{text:?}"
        );
    }

    assert_eq!(world.token_for(SERVER), Some(token("first")));
    assert_eq!(world.effects(), []);
}

#[test]
fn a_token_needs_a_server_to_which_others_cannot_listen() {
    let mut world = app(None, Launch::default());
    assert_eq!(
        world.command(set_token("abc")),
        Err(CommandErrorCode::NoServer)
    );

    world.set_server("ws://chat.example.org");
    assert_eq!(
        world.command(set_token("abc")),
        Err(CommandErrorCode::TokenExposed)
    );

    world.set_server("ws://192.168.1.20:9000");
    world.command(set_token("abc")).unwrap();
    assert_eq!(world.shown_token(), shown("192.168.1.20:9000", true));
}

#[test]
fn the_command_line_wins_for_this_run_until_the_user_enters_another_token() {
    let access = Access {
        token: Some(ServerToken {
            server: SERVER.parse().unwrap(),
            token: token("saved"),
        }),
        ..Access::default()
    };
    let launch = Launch {
        server_url: SERVER.parse().ok(),
        ..with_token("launched")
    };
    let mut world = World::new();
    world.app = App::new(Settings::default(), Vec::new(), access, launch);
    assert_eq!(world.token_for(SERVER), Some(token("launched")));
    assert!(world.shown_token().unwrap().this_run_only);
    world.effects();

    world.command(Command::ForgetToken).unwrap();
    assert_eq!(world.token_for(SERVER), Some(token("saved")));
    assert!(
        !world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::SaveToken(_))),
        "what is saved stays"
    );

    world.command(set_token("new")).unwrap();
    assert_eq!(world.token_for(SERVER), Some(token("new")));
}

#[test]
fn a_token_of_the_command_line_without_a_server_is_told_and_goes_nowhere() {
    let mut world = app(None, with_token("launched"));
    assert_eq!(world.problems(), ["TOKEN_WITHOUT_SERVER"]);

    world.set_server(SERVER);
    assert_eq!(world.token_for(SERVER), None, "no server was named with it");

    let world = app(Some(SERVER), with_token("launched"));
    assert_eq!(world.problems(), [""; 0]);
    assert_eq!(world.token_for(SERVER), Some(token("launched")));
}

/// Certificates that differ from those of the system.
fn roots() -> TrustedRoots {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, AUTHORITY).unwrap();
    TrustedRoots::with_file(&file).unwrap()
}

fn path(name: &str) -> String {
    let root = if cfg!(windows) { "C:\\" } else { "/" };
    format!("{root}{name}")
}

#[test]
fn certificates_are_trusted_once_their_file_is_read() {
    let mut world = app(Some(SERVER), Launch::default());
    let (first, second) = (path("first.pem"), path("second.pem"));
    world.command(set_ca_file(&first)).unwrap();
    assert!(
        world
            .effects()
            .contains(&Effect::ReadCertificates(first.clone()))
    );

    world.command(set_ca_file(&second)).unwrap();
    world.input(Input::Certificates(first, Ok(roots())));
    let config = |world: &World| world.app.server_config(SERVER.parse().unwrap());
    assert_eq!(
        config(&world).roots,
        TrustedRoots::default(),
        "not that file any more"
    );

    let trusted = roots();
    world.effects();
    world.input(Input::Certificates(second.clone(), Ok(trusted.clone())));
    assert_eq!(config(&world).roots, trusted);
    assert!(
        world
            .effects()
            .iter()
            .any(|effect| matches!(effect, Effect::OpenLine(_, config) if config.roots == trusted)),
        "the connection is made again"
    );

    let broken = SettingsProblem::new(AppErrorCode::CaFileInvalid, "empty");
    world.command(set_ca_file(&second)).unwrap();
    world.input(Input::Certificates(second.clone(), Err(broken)));
    assert_eq!(world.problems(), ["CA_FILE_INVALID"]);
    assert_eq!(config(&world).roots, TrustedRoots::default());
    assert_eq!(
        world.app.state().settings.ca_file,
        Some(second.clone()),
        "the user can correct it"
    );

    world.command(set_ca_file(" ")).unwrap();
    assert_eq!(world.problems(), [""; 0]);
    assert_eq!(world.app.state().settings.ca_file, None);

    world.command(set_ca_file(&second)).unwrap();
    world.input(Input::Certificates(second, Ok(roots())));
    assert_ne!(config(&world).roots, TrustedRoots::default());
    world.command(set_ca_file("")).unwrap();
    assert_eq!(
        config(&world).roots,
        TrustedRoots::default(),
        "the user trusts them no longer"
    );
    assert_eq!(
        world.command(set_ca_file("authority.pem")),
        Err(CommandErrorCode::BadPath)
    );
}

#[test]
fn certificates_of_the_command_line_are_not_saved() {
    let trusted = roots();
    let saved = Settings {
        ca_file: Some(path("saved.pem")),
        ..Settings::default()
    };
    let launch = Launch {
        ca_file: Some("launched.pem".into()),
        roots: trusted.clone(),
        ..Launch::default()
    };
    let mut world = World::with(saved, Vec::new(), launch);
    let config = world.app.server_config(SERVER.parse().unwrap());
    assert_eq!(config.roots, trusted);
    world.effects();

    let saved = |world: &mut World| {
        world.effects().into_iter().find_map(|effect| match effect {
            Effect::Save(settings) => settings.ca_file,
            _ => None,
        })
    };
    world
        .command(Command::SetTheme { theme: Theme::Dark })
        .unwrap();
    assert_eq!(saved(&mut world), Some(path("saved.pem")));

    world.command(set_ca_file(&path("chosen.pem"))).unwrap();
    assert_eq!(
        saved(&mut world),
        Some(path("chosen.pem")),
        "what the user chooses in the window is saved"
    );
}
