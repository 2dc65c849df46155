use std::io::Write;

use super::*;

fn load(words: &[&str]) -> Result<Args, String> {
    Args::load_from([&["tandem-signaling"], words].concat()).map_err(|refusal| match refusal {
        Refusal::Clap(error) => error.to_string(),
        Refusal::Sentence(text) => text,
    })
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn the_definition_of_the_command_line_is_valid() {
    Args::command().debug_assert();
}

#[test]
fn every_flag_has_an_environment_variable() {
    for arg in Args::command().get_arguments() {
        let flag = arg.get_long().expect("every argument is a flag");
        let variable = format!("TANDEM_SIGNALING_{}", flag.replace('-', "_").to_uppercase());
        assert_eq!(
            arg.get_env().and_then(|name| name.to_str()),
            Some(variable.as_str()),
            "--{flag}"
        );
    }
}

#[test]
fn a_flag_overrides_the_file_and_the_file_overrides_the_default() {
    let file = file(
        "max-connections = 7\nrate-find = 8\nheartbeat = '3s'\nstun-url = ['stun:a', 'stun:b']\n",
    );
    let path = file.path().display().to_string();
    let args = load(&["--config", &path, "--rate-find", "9"]).unwrap();

    assert_eq!(args.max_connections, 7, "the file overrides the default");
    assert_eq!(args.rate_find, 9, "the flag overrides the file");
    assert_eq!(
        args.heartbeat,
        Duration::from_secs(3),
        "values in the file go through the same parsers"
    );

    assert_eq!(
        args.stun_url,
        ["stun:a", "stun:b"],
        "a list is a repeated flag"
    );

    assert_eq!(
        args.silent,
        Duration::from_secs(60),
        "a setting that the file does not name keeps its default"
    );
}

#[test]
fn the_error_about_a_file_names_the_file_and_the_setting() {
    for (text, word) in [
        ("heartbeet = '3s'", "there is no setting `heartbeet`"),
        ("config = 'other.toml'", "there is no setting `config`"),
        ("heartbeat = 'soon'", "25s, 500ms"),
        ("heartbeat = true", "not a boolean"),
        ("listen = ['a', 'b']", "takes one value"),
        ("max-connections = -1", "max-connections"),
        ("turn-url = 'turn:a'", "--turn-secret"),
        ("stun-url = ['http://x']", "stun:stun.example.org"),
        ("listen = ", "line 1"),
    ] {
        let file = file(text);
        let path = file.path().display().to_string();
        let refusal = load(&["--config", &path]).expect_err(text);
        assert!(
            refusal.contains(word),
            "{text}: the error must contain {word}: {refusal}"
        );
        assert!(
            !refusal.contains("error: "),
            "{text}: without clap's prefix: {refusal}"
        );
    }

    let refusal = load(&["--config", "/nowhere/server.toml"]).expect_err("no such file");
    assert!(
        refusal.contains("/nowhere/server.toml"),
        "the file is named: {refusal}"
    );
}

#[test]
fn settings_that_do_not_fit_together_are_refused() {
    for (words, word) in [
        (&["--silent", "5s", "--heartbeat", "10s"][..], "--silent"),
        (&["--turn-url", "turn:a:3478"], "--turn-secret"),
        (&["--turn-secret", "x"], "--turn-url"),
        (
            &["--turn-url", "turn:a:3478", "--turn-secret", " "],
            "empty",
        ),
        (
            &[
                "--turn-url",
                "turn:a:3478",
                "--turn-secret",
                "CHANGE-ME-to-something",
            ],
            "openssl",
        ),
        (
            &[
                "--turn-url",
                "turn:a:3478",
                "--turn-secret",
                "x",
                "--turn-ttl",
                "0",
            ],
            "--turn-ttl",
        ),
        (&["--turn-external-ip", "192.0.2.1"], "--turn-listen"),
        (&["--turn-allow-peer", "10.0.0.0/8"], "--turn-listen"),
        (&["--turn-deny-peer", "8.8.8.0/24"], "--turn-listen"),
        (&["--turn-tls-name", "a.example"], "--turn-listen"),
        (&["--turn-key", "x"], "--turn-listen"),
        (
            &[
                "--turn-listen",
                "0.0.0.0:3478",
                "--turn-external-ip",
                "192.0.2.1,192.0.2.2",
            ],
            "--turn-external-ip",
        ),
        (
            &["--turn-listen", "127.0.0.1:0", "--turn-ttl", "0"],
            "--turn-ttl",
        ),
        (&["--tls-cert", "x"], "--tls-key"),
        (&["--tls-key", "x"], "--tls-cert"),
        (&["--report-webhook", "https://x/"], "--reports"),
        (&["--restrict-after", "3"], "--reports"),
        (
            &[
                "--reports",
                "x",
                "--restrict-after",
                "3",
                "--restrict-for",
                "0",
            ],
            "--restrict-for",
        ),
        (&["--log-level", "loud=very=much"], "--log-level"),
    ] {
        let refusal = load(words).expect_err("these do not fit");
        assert!(
            refusal.contains(word),
            "{words:?}: the error must contain {word}: {refusal}"
        );
    }

    assert!(load(&[]).is_ok(), "the defaults fit together");
}

#[test]
fn the_default_limit_of_upgrades_is_three_for_each_connection() {
    assert_eq!(load(&[]).unwrap().rate_upgrades(), 300);
    assert_eq!(
        load(&["--max-connections-per-address", "0"])
            .unwrap()
            .rate_upgrades(),
        0,
        "no limit of connections, no limit of upgrades"
    );
    assert_eq!(load(&["--rate-upgrades", "5"]).unwrap().rate_upgrades(), 5);
}
