//! The Debian and RPM packages: their dependencies and contents, and that the installed program
//! runs.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tandem_tests::debian::{closure, names, owners};
use tandem_tests::part::source;
use tandem_tests::process::{built, tool};
use tandem_tests::pulse::SPEAKER;
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{Overlay, Part, Process, PulseAudio, Screen, SecureServer, Window, require};

/// Louder than silence, softer than a ring.
const HEARD: f32 = 0.01;

/// Packs the program built for the tests, as `cargo xtask bundle` packs a release, and returns the
/// package's path.
fn pack(kind: &str, folder: &Path) -> PathBuf {
    let debug = folder.join("debug");
    fs::create_dir_all(&debug).expect("the folder is created");
    // Work on a copy: the bundler writes the kind of package into the program.
    fs::copy(built("tandem"), debug.join("tandem")).expect("the program is copied");
    let output = Command::new(source("../ui/node_modules/.bin/tauri"))
        .args(["bundle", "--debug", "--bundles", kind])
        .current_dir(source(".."))
        .env("CARGO_TARGET_DIR", folder)
        .output()
        .expect("the bundler starts");
    assert!(
        output.status.success(),
        "the bundler succeeds: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let made = fs::read_dir(debug.join("bundle").join(kind))
        .expect("the folder of packages is there")
        .flatten();
    let mut packages = made
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == kind));
    packages.next().expect("a package was made")
}

/// Checks an unpacked package: its menu entry says how to find and start the program, with a link to
/// a call or without one, and the icons are there.
fn check_files(root: &Path) {
    let entries = fs::read_dir(root.join("usr/share/applications"))
        .expect("the menu entry is there")
        .flatten();
    let entry = entries
        .map(|entry| fs::read_to_string(entry.path()).expect("the menu entry is text"))
        .next()
        .expect("there is one menu entry");

    for line in [
        "Name=Tandem",
        "Exec=tandem %u",
        "MimeType=x-scheme-handler/tandem;",
        "Icon=tandem",
        "Categories=Network;VideoConference;",
    ] {
        assert!(
            entry.lines().any(|found| found == line),
            "the menu entry has the line {line}:\n{entry}"
        );
    }

    assert!(
        root.join("usr/share/metainfo/org.tandemchat.tandem.metainfo.xml")
            .exists(),
        "app stores find a description"
    );

    for size in ["32x32", "128x128", "256x256@2"] {
        let icon = root.join(format!("usr/share/icons/hicolor/{size}/apps/tandem.png"));
        let bytes = fs::read(&icon).unwrap_or_else(|error| panic!("{}: {error}", icon.display()));
        assert!(
            bytes.starts_with(b"\x89PNG"),
            "the icon of size {size} is a PNG"
        );
    }
}

/// The shared libraries that a program is linked against directly.
fn needed(program: &Path) -> Vec<String> {
    let text =
        tool("objdump", ["-p".as_ref(), program.as_os_str()]).expect("objdump reads the program");
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("NEEDED"))
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn the_debian_package_declares_what_the_program_needs() {
    require!(Part::Window, Part::Bundler);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = pack("deb", &folder.path().join("target"));
    let field = |name: &str| {
        let text = tool(
            "dpkg-deb",
            ["-f".as_ref(), package.as_os_str(), name.as_ref()],
        )
        .expect("dpkg-deb reads the control file");
        String::from_utf8_lossy(&text).trim().to_owned()
    };

    assert_eq!(field("Package"), "tandem", "the package name");
    assert_eq!(
        field("Section"),
        "net",
        "the section under which package managers list it"
    );

    let depends = field("Depends");
    for library in [
        "libwebkit2gtk-4.1-0",
        "libgtk-3-0",
        "libasound2t64 | libasound2",
        "libstdc++6",
    ] {
        assert!(
            depends.contains(library),
            "{library} is declared: {depends}"
        );
    }

    let root = folder.path().join("root");
    tool(
        "dpkg-deb",
        ["-x".as_ref(), package.as_os_str(), root.as_os_str()],
    )
    .expect("the package unpacks");
    check_files(&root);
    let installed = closure(names(&depends)).expect("the dependencies are installed here");
    let libraries = needed(&root.join("usr/bin/tandem"));
    assert!(
        libraries.len() > 5,
        "the program is linked against the system: {libraries:?}"
    );

    for library in libraries {
        let owners =
            owners(&library).expect("the program runs here, so some package owns its libraries");
        assert!(
            owners.iter().any(|owner| installed.contains(owner)),
            "the declared dependencies bring {library} of {owners:?}: {depends}"
        );
    }
}

#[test]
fn the_debian_package_can_be_installed_started_and_removed() {
    require!(Part::Window, Part::Bundler, Part::Overlay);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = pack("deb", &folder.path().join("target"));
    let machine = Overlay::start().expect("the overlay is mounted");
    machine
        .run("dpkg", ["--install".as_ref(), package.as_os_str()])
        .expect("dpkg installs the package with its dependencies");
    let status = machine
        .run(
            "dpkg-query",
            ["--show", "--showformat", "${Status}", "tandem"],
        )
        .expect("dpkg knows the package");
    assert_eq!(
        status, "install ok installed",
        "the package is fully installed"
    );

    let files = machine
        .run("dpkg-query", ["--listfiles", "tandem"])
        .expect("dpkg lists the files");
    let files: Vec<&str> = files
        .lines()
        .filter(|path| path.contains("tandem") || path.contains("Tandem"))
        .collect();
    assert!(
        files.contains(&"/usr/bin/tandem"),
        "the program is on everyone's PATH: {files:?}"
    );

    let version = machine
        .run("tandem", ["--version"])
        .expect("the program is found by its name");
    assert!(
        version.contains(env!("CARGO_PKG_VERSION")),
        "the installed version is the packed one: {version}"
    );

    let (screen, home) = (
        Screen::start().expect("Xvfb starts"),
        Home::new().expect("a home folder"),
    );

    // Who names a server is not asked how to call. Nothing answers there.
    let arguments = [&TEST_MEDIA[..], &["--signaling", "ws://127.0.0.1:1"]].concat();
    let window = Window::open_in(
        &machine,
        Path::new("/usr/bin/tandem"),
        home,
        &screen,
        &arguments,
    );
    let window = window.expect("the installed program opens its window");
    window
        .wait_for_screen("lobby")
        .expect("the window shows the lobby");
    window
        .wait_for_frames("#local", 3)
        .expect("the preview moves");
    window.fill("#name", "Ann").expect("the name can be typed");
    let home = window.close().expect("the app exits");

    machine
        .run("dpkg", ["--remove", "tandem"])
        .expect("the package can be removed");
    for file in files {
        let gone = machine.run("test", ["!", "-e", file]);
        assert!(gone.is_ok(), "{file} is removed");
    }

    let settings = fs::read_to_string(home.settings()).expect("the user's settings stay");
    assert!(
        settings.contains("\"Ann\""),
        "the settings are unchanged: {settings}"
    );
}

#[test]
fn two_who_installed_the_package_meet_by_a_link() {
    require!(Part::Window, Part::Bundler, Part::Overlay, Part::PulseAudio);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = pack("deb", &folder.path().join("target"));
    let machine = Overlay::start().expect("the overlay is mounted");
    machine
        .run("dpkg", ["--install".as_ref(), package.as_os_str()])
        .expect("dpkg installs the package");

    let screen = Screen::start().expect("Xvfb starts");
    let pulse = PulseAudio::start().expect("PulseAudio starts");
    let server = SecureServer::start().expect("the server starts");
    let open = |name: &str, speaker: &[&str]| {
        let home = Home::new().expect("a folder").with_sound_server(&pulse);
        let arguments = server
            .arguments(&home, name)
            .expect("the token can be written");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let media = ["--video", "test", "--audio", "test", "--size", "640x360"];
        let program = Path::new("/usr/bin/tandem");
        let window = Window::open_in(
            &machine,
            program,
            home,
            &screen,
            &[&media, speaker, &arguments].concat(),
        )
        .expect("the installed program opens its window");
        window
            .wait_for_state("/server/status", &json!("connected"))
            .expect("the lobby shows that the server can be reached");
        window
    };
    let ann = open("Ann", &[]);
    let bea = open("Bea", &["--speaker", "none"]);

    ann.press("invite").expect("the button is there");
    ann.wait_for_element("#invite-web-link")
        .expect("the invite is shown");
    let link = ann.text("#invite-web-link").expect("the page answers");

    // As the desktop does when Bea clicks the link: the menu entry says `tandem %u`.
    let click = || {
        let mut second = machine.command("env");
        let variables = screen.environment().into_iter();
        for (name, value) in variables.chain(bea.home().environment()) {
            let mut variable = name;
            variable.push("=");
            variable.push(value);
            second.arg(variable);
        }
        second.arg("tandem").arg(&link);
        let code = Process::start(second)
            .and_then(|mut second| second.wait(TIMEOUT))
            .expect("the second instance ends");
        assert_eq!(code, Some(0), "it hands the link over");

        bea.press("join-opened").expect("Bea sees where it leads");
        ann.wait_for_state("/incoming/name", &json!("Bea"))
            .expect("it rings");
    };

    let heard = pulse.record(SPEAKER).expect("the sink is recorded");
    click();
    heard.wait_for_sound(HEARD).expect("Ann hears it");
    ann.press("decline-call").expect("the button is there");
    bea.wait_for_state("/screen/reason", &json!("DECLINED"))
        .expect("Bea is told");
    bea.press("to-lobby").expect("the button is there");

    click();
    ann.press("accept-call").expect("the button is there");
    for (window, partner) in [(&ann, "Bea"), (&bea, "Ann")] {
        window.wait_for_screen("in-call").expect("the two connect");
        window
            .wait_for_frames("#remote", 10)
            .expect("the partner's video moves");
        window
            .wait_for_state("/screen/partner/name", &json!(partner))
            .expect("with the right name");
    }
}

#[test]
fn the_rpm_package_declares_dependencies_and_holds_the_program() {
    require!(Part::Bundler, Part::Rpm);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let package = pack("rpm", &folder.path().join("target"));
    let rpm = |query: &[&str]| {
        let arguments = query.iter().map(AsRef::as_ref).chain([package.as_os_str()]);
        String::from_utf8_lossy(&tool("rpm", arguments).expect("rpm reads the package"))
            .into_owned()
    };

    rpm(&["--checksig", "--nosignature"]);
    assert_eq!(
        rpm(&["--query", "--queryformat", "%{NAME}", "--package"]),
        "tandem",
        "the package name"
    );

    let requires = rpm(&["--query", "--requires", "--package"]);
    for library in [
        "libwebkit2gtk-4.1.so.0",
        "libgtk-3.so.0",
        "alsa-lib",
        "libstdc++",
    ] {
        assert!(
            requires.contains(library),
            "{library} is declared:\n{requires}"
        );
    }

    let files = rpm(&["--query", "--list", "--package"]);
    assert!(
        files.lines().any(|file| file == "/usr/bin/tandem"),
        "the package holds the program:\n{files}"
    );

    let root = folder.path().join("root");
    fs::create_dir(&root).expect("the folder is created");
    let unpack = "rpm2cpio \"$1\" | cpio --extract --make-directories --quiet";
    let unpacked = Command::new("sh")
        .args(["-c", unpack, "sh"])
        .arg(&package)
        .current_dir(&root)
        .output();
    let unpacked = unpacked.expect("sh starts");
    assert!(
        unpacked.status.success(),
        "the package unpacks: {}",
        String::from_utf8_lossy(&unpacked.stderr)
    );

    check_files(&root);
    let program = root.join("usr/bin/tandem").to_string_lossy().into_owned();
    let version = tool(&program, ["--version"]).expect("the program runs");
    assert!(
        String::from_utf8_lossy(&version).contains(env!("CARGO_PKG_VERSION")),
        "the program in the package has the packed version"
    );
}
