//! The Debian package: what it declares, what it holds, and that what it holds runs.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tandem_tests::part::source;
use tandem_tests::process::{built, tool};
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{Part, Screen, Window, require};

/// Packs the program that was built for the tests, as `cargo xtask bundle` packs a release.
fn pack(folder: &Path) -> PathBuf {
    let debug = folder.join("debug");
    fs::create_dir_all(&debug).expect("a folder");
    // A copy: the packer marks the program with the kind of package.
    fs::copy(built("tandem"), debug.join("tandem")).expect("the program");
    let output = Command::new(source("../ui/node_modules/.bin/tauri"))
        .args(["bundle", "--debug", "--bundles", "deb"])
        .current_dir(source(".."))
        .env("CARGO_TARGET_DIR", folder)
        .output()
        .expect("the packer starts");
    assert!(output.status.success(), "the packer packs: {}", String::from_utf8_lossy(&output.stderr));
    let made = fs::read_dir(debug.join("bundle/deb")).expect("a folder of packages").flatten();
    let mut packages = made.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "deb"));
    packages.next().expect("a package")
}

#[test]
fn the_debian_package_holds_a_window_that_opens() {
    require!(Part::Window, Part::Bundler);
    let folder = tempfile::tempdir().expect("a folder");
    let package = pack(&folder.path().join("target"));
    let field = |name: &str| {
        let text = tool("dpkg-deb", ["-f".as_ref(), package.as_os_str(), name.as_ref()]).expect("a control file");
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    assert_eq!(field("Package"), "tandem", "the name to install it by");
    let depends = field("Depends");
    for library in ["libwebkit2gtk-4.1-0", "libgtk-3-0", "libasound2", "libstdc++6"] {
        assert!(depends.contains(library), "{library} is declared: {depends}");
    }
    let root = folder.path().join("root");
    tool("dpkg-deb", ["-x".as_ref(), package.as_os_str(), root.as_os_str()]).expect("it unpacks");
    let entries = fs::read_dir(root.join("usr/share/applications")).expect("a menu entry").flatten();
    let entry = entries.map(|entry| fs::read_to_string(entry.path()).expect("text")).next().expect("one");
    for line in ["Name=Tandem", "Exec=tandem", "Icon=tandem", "Categories=Network;VideoConference;"] {
        assert!(entry.lines().any(|found| found == line), "{line} stands in the menu entry:\n{entry}");
    }
    for size in ["32x32", "128x128"] {
        let icon = root.join(format!("usr/share/icons/hicolor/{size}/apps/tandem.png"));
        assert!(icon.exists(), "an icon of {size}");
    }
    let screen = Screen::start().expect("a screen");
    let program = root.join("usr/bin/tandem");
    let home = Home::new().expect("a user");
    let window = Window::open_program(&program, home, &screen, &TEST_MEDIA).expect("what is in the package runs");
    window.wait_for_screen("lobby").expect("and shows its lobby");
    window.wait_for_pictures("#local", 3).expect("with a picture");
    window.close().expect("and ends");
}
