//! The installers: what they declare, what they hold, and that what they install runs.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_tests::debian::{closure, names, owners};
use tandem_tests::part::source;
use tandem_tests::process::{built, tool};
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{Overlay, Part, Screen, Window, require};

/// Packs the program that was built for the tests, as `cargo xtask bundle` packs a release. Gives the package.
fn pack(kind: &str, folder: &Path) -> PathBuf {
    let debug = folder.join("debug");
    fs::create_dir_all(&debug).expect("a folder");
    // A copy: the packer marks the program with the kind of package.
    fs::copy(built("tandem"), debug.join("tandem")).expect("the program");
    let output = Command::new(source("../ui/node_modules/.bin/tauri"))
        .args(["bundle", "--debug", "--bundles", kind])
        .current_dir(source(".."))
        .env("CARGO_TARGET_DIR", folder)
        .output()
        .expect("the packer starts");

    assert!(
        output.status.success(),
        "the packer packs: {}",
        String::from_utf8_lossy(&output.stderr)
    );

    let made = fs::read_dir(debug.join("bundle").join(kind))
        .expect("a folder of packages")
        .flatten();
    let mut packages = made
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == kind));
    packages.next().expect("a package")
}

/// A package's menu entry says how to find and start the program, and its icons are there in these sizes.
fn check_files(root: &Path) {
    let entries = fs::read_dir(root.join("usr/share/applications"))
        .expect("a menu entry")
        .flatten();
    let entry = entries
        .map(|entry| fs::read_to_string(entry.path()).expect("text"))
        .next()
        .expect("one");

    for line in [
        "Name=Tandem",
        "Exec=tandem",
        "Icon=tandem",
        "Categories=Network;VideoConference;",
    ] {
        assert!(
            entry.lines().any(|found| found == line),
            "{line} stands in the menu entry:\n{entry}"
        );
    }

    for size in ["32x32", "128x128", "256x256@2"] {
        let icon = root.join(format!("usr/share/icons/hicolor/{size}/apps/tandem.png"));
        let bytes = fs::read(&icon).unwrap_or_else(|error| panic!("{}: {error}", icon.display()));
        assert!(bytes.starts_with(b"\x89PNG"), "an icon of {size}");
    }
}

/// The libraries that a program asks its loader for, by itself.
fn needed(program: &Path) -> Vec<String> {
    let text = tool("objdump", ["-p".as_ref(), program.as_os_str()]).expect("a program");
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("NEEDED"))
        .map(|name| name.trim().to_owned())
        .collect()
}

#[test]
fn the_debian_package_declares_what_the_program_needs() {
    require!(Part::Window, Part::Bundler);
    let folder = tempfile::tempdir().expect("a folder");
    let package = pack("deb", &folder.path().join("target"));
    let field = |name: &str| {
        let text = tool(
            "dpkg-deb",
            ["-f".as_ref(), package.as_os_str(), name.as_ref()],
        )
        .expect("a control file");
        String::from_utf8_lossy(&text).trim().to_owned()
    };

    assert_eq!(field("Package"), "tandem", "the name to install it by");
    assert_eq!(field("Section"), "net", "where shops list it");
    let depends = field("Depends");

    for library in [
        "libwebkit2gtk-4.1-0",
        "libgtk-3-0",
        "libasound2",
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
    .expect("it unpacks");
    check_files(&root);
    let brought = closure(names(&depends)).expect("installed packages");
    let libraries = needed(&root.join("usr/bin/tandem"));

    assert!(
        libraries.len() > 5,
        "the program is linked against the system: {libraries:?}"
    );

    for library in libraries {
        let owners = owners(&library).expect("this very program runs here, so a package has it");
        assert!(
            owners.iter().any(|owner| brought.contains(owner)),
            "{library} of {owners:?} comes with what is declared: {depends}"
        );
    }
}

#[test]
fn the_debian_package_is_installed_started_and_removed() {
    require!(Part::Window, Part::Bundler, Part::Overlay);
    let folder = tempfile::tempdir().expect("a folder");
    let package = pack("deb", &folder.path().join("target"));
    let machine = Overlay::start().expect("a machine to try it on");
    machine
        .run("dpkg", ["--install".as_ref(), package.as_os_str()])
        .expect("dpkg finds everything that it asks for");
    let status = machine
        .run(
            "dpkg-query",
            ["--show", "--showformat", "${Status}", "tandem"],
        )
        .expect("it is known");

    assert_eq!(status, "install ok installed", "completely");
    let files = machine
        .run("dpkg-query", ["--listfiles", "tandem"])
        .expect("a list");
    let files: Vec<&str> = files
        .lines()
        .filter(|path| path.contains("tandem") || path.contains("Tandem"))
        .collect();

    assert!(
        files.contains(&"/usr/bin/tandem"),
        "the program is where systems look for programs: {files:?}"
    );

    let version = machine
        .run("tandem", ["--version"])
        .expect("it is found by its name alone");
    assert!(
        version.contains(env!("CARGO_PKG_VERSION")),
        "the version that was packed: {version}"
    );

    let (screen, home) = (
        Screen::start().expect("a screen"),
        Home::new().expect("a user"),
    );

    let window = Window::open_in(
        &machine,
        Path::new("/usr/bin/tandem"),
        home,
        &screen,
        &TEST_MEDIA,
    );
    let window = window.expect("the installed program opens its window");
    window
        .wait_for_screen("lobby")
        .expect("and shows its lobby");
    window
        .wait_for_pictures("#local", 3)
        .expect("with a picture");
    window.fill("#name", "Ann").expect("a name can be typed");
    let home = window.close().expect("and it ends");

    machine
        .run("dpkg", ["--remove", "tandem"])
        .expect("it can be removed");
    for file in files {
        let gone = machine.run("test", ["!", "-e", file]);
        assert!(gone.is_ok(), "{file} is gone");
    }

    let settings = fs::read_to_string(home.settings()).expect("the user's choices stay");
    assert!(settings.contains("\"Ann\""), "as they were: {settings}");
}

#[test]
fn the_rpm_package_holds_the_same() {
    require!(Part::Bundler, Part::Rpm);
    let folder = tempfile::tempdir().expect("a folder");
    let package = pack("rpm", &folder.path().join("target"));
    let rpm = |query: &[&str]| {
        let arguments = query.iter().map(AsRef::as_ref).chain([package.as_os_str()]);
        String::from_utf8_lossy(&tool("rpm", arguments).expect("rpm reads it")).into_owned()
    };

    rpm(&["--checksig", "--nosignature"]);
    assert_eq!(
        rpm(&["--query", "--queryformat", "%{NAME}", "--package"]),
        "tandem",
        "the name to install it by"
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
        "the program is in its place:\n{files}"
    );

    let root = folder.path().join("root");
    fs::create_dir(&root).expect("a folder");
    let unpack = "rpm2cpio \"$1\" | cpio --extract --make-directories --quiet";
    let unpacked = Command::new("sh")
        .args(["-c", unpack, "sh"])
        .arg(&package)
        .current_dir(&root)
        .output();
    let unpacked = unpacked.expect("a shell");

    assert!(
        unpacked.status.success(),
        "it unpacks: {}",
        String::from_utf8_lossy(&unpacked.stderr)
    );

    check_files(&root);
    let program = root.join("usr/bin/tandem").to_string_lossy().into_owned();
    let version = tool(&program, ["--version"]).expect("the program runs");

    assert!(
        String::from_utf8_lossy(&version).contains(env!("CARGO_PKG_VERSION")),
        "and is the one that was packed"
    );
}
