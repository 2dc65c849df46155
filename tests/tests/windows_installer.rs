//! The setup for Windows, packed as `cargo xtask bundle` packs a release, and run in Wine.
//!
//! A small program stands for Tandem, so nothing has to be built for Windows.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tandem_tests::part::source;
use tandem_tests::process::{built, wait_until};
use tandem_tests::wine::{COMPILER, Wine, compile};
use tandem_tests::{Part, Process, Screen, require};

const UNINSTALL: &str = "HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Uninstall\\Tandem";
const LINK: &str = "HKCU\\Software\\Classes\\tandem";
const TIMEOUT: Duration = Duration::from_secs(60);

/// The exit codes of the setup (docs/installing.md).
const DONE: i32 = 0;
const FAILED: i32 = 2;
const IS_RUNNING: i32 = 3;
const SECOND_SETUP: i32 = 4;

/// Setups of a program that knows only its version.
struct Setups {
    folder: tempfile::TempDir,
}

impl Setups {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder }
    }

    /// A program of this version that stands for Tandem.
    fn program(&self, version: &str) -> PathBuf {
        let folder = self.folder.path().join(version);
        fs::create_dir_all(&folder).expect("a folder");
        let program = folder.join("tandem.exe");
        let define = format!("-DVERSION=\"{version}\"");
        let words = ["-municode", "-O1", &define];
        compile(COMPILER, &source("windows/program.c"), &words, &program)
            .expect("the program compiles");
        program
    }

    /// Packs the programs in a folder, and returns what `cargo xtask bundle` says.
    fn pack(&self, folder: &Path, version: &str) -> (bool, String) {
        let output = Command::new(built("xtask"))
            .args(["bundle", "--target", "windows", "--programs"])
            .arg(folder)
            .args(["--version", version, "--out"])
            .arg(self.folder.path())
            .current_dir(source(".."))
            .output()
            .expect("xtask starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), text)
    }

    /// The setup of a version.
    fn setup(&self, version: &str) -> PathBuf {
        let program = self.program(version);
        let folder = program.parent().expect("it lies in a folder");
        let (done, text) = self.pack(folder, version);
        assert!(done, "the setup is packed: {text}");
        let name = format!("Tandem_{version}_x64-setup.exe");
        self.folder.path().join(name)
    }
}

/// Runs a setup without questions. Options come behind `/S`.
fn silently(wine: &Wine, setup: &Path, options: &[&str]) -> i32 {
    let words = [setup.as_os_str(), "/S".as_ref()];
    let words = words.into_iter().chain(options.iter().map(AsRef::as_ref));
    wine.run(words).expect("the setup ends").0
}

fn version(wine: &Wine, folder: &Path) -> String {
    let program = folder.join("tandem.exe");
    let words = [program.as_os_str(), "--version".as_ref()];
    wine.run(words).expect("the program runs").1
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

const INSTALLED: [&str; 3] = ["licenses.txt", "tandem.exe", "uninstall.exe"];

/// Everything in a prefix whose name has to do with Tandem.
fn traces(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if name.contains("tandem") {
            found.push(path.clone());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            traces(&path, found);
        }
    }
}

fn uninstall(wine: &Wine, folder: &Path, options: &[&str]) {
    let code = silently(wine, &folder.join("uninstall.exe"), options);
    assert_eq!(code, DONE, "the uninstaller starts");
    // It goes on in a copy of itself.
    wait_until("the end of the uninstaller", TIMEOUT, || {
        (!folder.join("uninstall.exe").exists()).then_some(())
    })
    .expect("the program is removed");
    wine.wait_until_idle().expect("nothing runs any more");
}

#[test]
fn a_setup_installs_upgrades_and_removes_the_program() {
    require!(Part::WindowsSetup);
    let setups = Setups::new();
    let (first, second) = (setups.setup("1.0.0"), setups.setup("1.1.0-rc.1"));
    let wine = Wine::start().expect("Wine starts");
    let folder = wine
        .of_user("AppData/Local/Programs/Tandem")
        .expect("a user");
    let menu = "AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Tandem.lnk";
    let menu = wine.of_user(menu).expect("a user");
    let registry = |key: &str, name: &str| wine.registry(key, name).expect("the registry is read");

    // What a version of another tool could have left.
    for words in [
        [
            "reg",
            "add",
            UNINSTALL,
            "/v",
            "ModifyPath",
            "/d",
            "old",
            "/f",
        ],
        ["reg", "add", LINK, "/v", "Handler", "/d", "old", "/f"],
    ] {
        assert_eq!(wine.run(words).expect("reg runs").0, 0, "{words:?}");
    }

    assert_eq!(silently(&wine, &first, &[]), DONE, "the first installation");
    assert_eq!(names(&folder), INSTALLED, "all files and no others");
    assert_eq!(version(&wine, &folder), "tandem 1.0.0", "the program runs");
    assert!(menu.exists(), "it is in the start menu");
    let licenses = fs::read_to_string(folder.join("licenses.txt")).expect("a text");
    for part in ["openh264", "tokio ", "preact ", "Independent JPEG Group"] {
        assert!(licenses.contains(part), "the licenses name {part}");
    }

    let command = registry(&format!("{LINK}\\shell\\open\\command"), "").expect("links are opened");
    assert!(
        command.ends_with("\\AppData\\Local\\Programs\\Tandem\\tandem.exe\" \"%1\""),
        "by the installed program: {command}"
    );
    assert!(
        registry(LINK, "URL Protocol").is_some(),
        "tandem: is a scheme"
    );
    assert_eq!(
        registry(UNINSTALL, "DisplayVersion").as_deref(),
        Some("1.0.0")
    );
    for (key, name) in [(UNINSTALL, "ModifyPath"), (LINK, "Handler")] {
        assert_eq!(
            registry(key, name),
            None,
            "{name} of an older version is gone"
        );
    }

    // A running program stays as it is.
    let work = tempfile::tempdir().expect("a folder");
    let mut command = wine.command([folder.join("tandem.exe")]);
    command.current_dir(work.path());
    let mut program = Process::start(command).expect("the program starts");
    wait_until("the program", TIMEOUT, || {
        work.path().join("started").exists().then_some(())
    })
    .expect("the program has started");
    assert_eq!(
        silently(&wine, &second, &[]),
        IS_RUNNING,
        "an upgrade of a running program"
    );
    // With `_?=` the uninstaller does not copy itself, and its exit code can be seen.
    let here = "_?=C:\\users\\jörg\\AppData\\Local\\Programs\\Tandem";
    assert_eq!(
        silently(&wine, &folder.join("uninstall.exe"), &[here]),
        IS_RUNNING,
        "removal of a running program"
    );
    assert_eq!(
        version(&wine, &folder),
        "tandem 1.0.0",
        "nothing has changed"
    );
    assert_eq!(names(&folder), INSTALLED, "and nothing is left over");

    fs::write(work.path().join("stop"), "").expect("a file");
    program.wait(TIMEOUT).expect("the program ends");
    assert_eq!(silently(&wine, &second, &[]), DONE, "the upgrade");
    assert_eq!(
        version(&wine, &folder),
        "tandem 1.1.0-rc.1",
        "the new version runs"
    );
    assert_eq!(names(&folder), INSTALLED, "the old files are gone");
    assert_eq!(
        registry(UNINSTALL, "DisplayVersion").as_deref(),
        Some("1.1.0-rc.1")
    );

    // Removed without the data, then with them.
    let data = wine.of_user("AppData/Roaming/tandem").expect("a user");
    let page = wine
        .of_user("AppData/Local/org.tandemchat.tandem")
        .expect("a user");
    for folder in [&data, &page] {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("settings.json"), "{}").expect("a file");
    }
    uninstall(&wine, &folder, &[]);
    assert!(data.join("settings.json").exists(), "settings stay");
    assert!(!folder.exists() && !menu.exists(), "the program does not");
    for key in [UNINSTALL, LINK] {
        assert!(
            !wine.has_key(key).expect("the registry is read"),
            "{key} is gone"
        );
    }

    assert_eq!(
        silently(&wine, &first, &[]),
        DONE,
        "it can be installed again"
    );
    uninstall(&wine, &folder, &["/DELETEDATA"]);
    let mut left = Vec::new();
    traces(&wine.drive(), &mut left);
    assert!(left.is_empty(), "nothing is left behind: {left:?}");
}

#[test]
fn a_version_in_another_folder_is_moved_and_links_of_other_programs_stay() {
    require!(Part::WindowsSetup);
    let setups = Setups::new();
    let setup = setups.setup("1.0.0");
    let wine = Wine::start().expect("Wine starts");
    let folder = wine.drive().join("Programme für Jörg/Tandem 1");
    let other = wine.drive().join("other");

    // The folder is not quoted, whatever is in it, so it comes as several words.
    let words = ["/D=C:\\Programme", "für", "Jörg\\Tandem", "1"];
    assert_eq!(
        silently(&wine, &setup, &words),
        DONE,
        "a folder with spaces and umlauts"
    );
    assert_eq!(names(&folder), INSTALLED, "it is installed there");
    assert_eq!(
        silently(&wine, &setup, &[]),
        DONE,
        "once more, without a folder"
    );
    assert_eq!(names(&folder), INSTALLED, "it is upgraded where it is");
    assert_eq!(
        version(&wine, &folder),
        "tandem 1.0.0",
        "and runs from there"
    );

    assert_eq!(
        silently(&wine, &setup, &["/D=C:\\other"]),
        DONE,
        "another folder"
    );
    assert_eq!(names(&other), INSTALLED, "it is installed there");
    assert!(!folder.exists(), "and not in the old one any more");

    let command = format!("{LINK}\\shell\\open\\command");
    let words = ["reg", "add", &command, "/ve", "/d", "another.exe", "/f"];
    assert_eq!(wine.run(words).expect("reg runs").0, 0);
    fs::write(other.join("mine.txt"), "mine").expect("a file");
    let code = silently(&wine, &other.join("uninstall.exe"), &[]);
    assert_eq!(code, DONE, "the uninstaller starts");
    wait_until("the end of the uninstaller", TIMEOUT, || {
        (!other.join("uninstall.exe").exists()).then_some(())
    })
    .expect("the program is removed");
    wine.wait_until_idle().expect("nothing runs any more");
    assert_eq!(
        names(&other),
        ["mine.txt"],
        "a file of the user's own stays"
    );
    let opens = wine.registry(&command, "").expect("the registry is read");
    assert_eq!(
        opens.as_deref(),
        Some("another.exe"),
        "links of another program, too"
    );
}

/// In a mount namespace: upgrades what is installed in `$1` with the setup `$2` while the folder is on a
/// full disk, and then while nobody can write to it. Prints the exit codes and the files.
const ON_BAD_DISKS: &str = "
    set -e
    folder=$1 setup=$2 wine=$3 server=$4
    saved=$(mktemp -d)
    cp -a \"$folder/.\" \"$saved\"
    bytes=$(du -sb \"$saved\" | cut -f 1)
    mount -t tmpfs -o size=$((bytes + 100000)) full \"$folder\"
    cp -a \"$saved/.\" \"$folder\"
    code=0; \"$wine\" \"$setup\" /S || code=$?
    echo \"full $code: $(ls \"$folder\" | xargs)\"
    cmp \"$folder/tandem.exe\" \"$saved/tandem.exe\"
    \"$server\" -w
    umount \"$folder\"
    mount --bind \"$folder\" \"$folder\"
    mount -o remount,ro,bind \"$folder\"
    code=0; \"$wine\" \"$setup\" /S || code=$?
    echo \"read-only $code: $(ls \"$folder\" | xargs)\"
    code=0; \"$wine\" \"$folder/uninstall.exe\" /S '_?=C:\\other' || code=$?
    echo \"removal $code: $(ls \"$folder\" | xargs)\"
    \"$server\" -w
    rm -r \"$saved\"";

#[test]
fn a_full_disk_and_a_read_only_folder_leave_the_old_version() {
    require!(Part::WindowsSetup, Part::Overlay);
    let setups = Setups::new();
    let (first, second) = (setups.setup("1.0.0"), setups.setup("1.1.0"));
    let wine = Wine::start().expect("Wine starts");
    let folder = wine.drive().join("other");
    assert_eq!(silently(&wine, &first, &["/D=C:\\other"]), DONE);
    // Wine's server must see the mounts, so it must start in the namespace.
    wine.wait_until_idle().expect("nothing runs any more");

    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            ON_BAD_DISKS,
            "sh",
        ])
        .args([&folder, &second])
        .args([tandem_tests::wine::WINE, tandem_tests::wine::SERVER]);
    wine.prepare(&mut command);
    let mut script = Process::start(command).expect("the script starts");
    let code = script.wait(2 * TIMEOUT).expect("the script ends");
    let installed = INSTALLED.join(" ");
    assert_eq!(
        script.stdout().trim(),
        format!(
            "full {FAILED}: {installed}\nread-only {FAILED}: {installed}\nremoval {FAILED}: {installed}"
        ),
        "each attempt fails and leaves what was there: {}",
        script.stderr()
    );
    assert_eq!(
        code,
        Some(0),
        "the old program is unchanged: {}",
        script.stderr()
    );

    let shown = wine
        .registry(UNINSTALL, "DisplayVersion")
        .expect("the registry is read");
    assert_eq!(
        shown.as_deref(),
        Some("1.0.0"),
        "Windows lists the old version"
    );
    assert_eq!(version(&wine, &folder), "tandem 1.0.0", "which runs");
}

#[test]
fn a_damaged_setup_installs_nothing() {
    require!(Part::WindowsSetup);
    let setups = Setups::new();
    let setup = setups.setup("1.0.0");
    let wine = Wine::start().expect("Wine starts");
    let whole = fs::read(&setup).expect("the setup is read");
    let mut flipped = whole.clone();
    flipped[whole.len() * 3 / 4] ^= 1;

    for (what, bytes) in [
        ("one bit", &flipped[..]),
        ("the end", &whole[..whole.len() * 3 / 4]),
    ] {
        fs::write(&setup, bytes).expect("a file");
        assert_eq!(silently(&wine, &setup, &[]), FAILED, "{what} is wrong");
        assert!(
            !wine.has_key(UNINSTALL).expect("the registry is read"),
            "{what}"
        );
    }
}

#[test]
fn the_setup_asks_and_is_the_only_one_at_a_time() {
    require!(Part::WindowsSetup, Part::Window);
    let setups = Setups::new();
    let setup = setups.setup("1.0.0");
    let screen = Screen::start().expect("Xvfb starts");
    let mut wine = Wine::start().expect("Wine starts");
    wine.show_on(&screen);
    let folder = wine
        .of_user("AppData/Local/Programs/Tandem")
        .expect("a user");
    let presser = setups.program("9.9.9");
    let press = |button: &str| {
        let words = [
            presser.as_os_str(),
            "--press".as_ref(),
            "Tandem Setup".as_ref(),
            button.as_ref(),
        ];
        let (code, text) = wine.run(words).expect("the helper runs");
        assert_eq!(code, 0, "there is a button {button}: {text}");
        text
    };

    let mut first = Process::start(wine.command([&setup])).expect("the setup starts");
    assert_eq!(press("1"), "pressed &Install");
    // Wine has no WebView2, so the setup offers Microsoft's page. No: this test opens nothing.
    assert_eq!(
        silently(&wine, &setup, &[]),
        SECOND_SETUP,
        "the first one still asks"
    );
    assert_eq!(press("7"), "pressed &No");
    // The page before has a button in the same place, which does no more than go on.
    let last = (0..20)
        .map(|_| press("1"))
        .find(|pressed| pressed != "pressed &Close");
    assert_eq!(last.as_deref(), Some("pressed &Finish"));
    assert_eq!(first.wait(TIMEOUT).expect("the setup ends"), Some(DONE));

    // The last page starts the program, in its folder.
    wait_until("the program", TIMEOUT, || {
        folder.join("started").exists().then_some(())
    })
    .expect("the program has started");
    fs::write(folder.join("stop"), "").expect("a file");
    wine.wait_until_idle().expect("it ends");
    for name in INSTALLED {
        assert!(folder.join(name).exists(), "{name} is installed");
    }
}

#[test]
fn a_program_that_needs_the_compilers_dlls_is_not_packed() {
    require!(Part::WindowsSetup);
    let setups = Setups::new();
    let folder = setups.folder.path().join("dynamic");
    fs::create_dir_all(&folder).expect("a folder");
    let code = folder.join("program.cpp");
    fs::write(
        &code,
        "#include <iostream>\nint main() { std::cout << \"hello\" << std::endl; }\n",
    )
    .expect("a file");
    let program = folder.join("tandem.exe");

    for (words, packed) in [(&["-static"][..], true), (&[], false)] {
        compile("x86_64-w64-mingw32-g++", &code, words, &program).expect("it compiles");
        let (done, text) = setups.pack(&folder, "1.0.0");
        assert_eq!(done, packed, "linked with {words:?}: {text}");
        assert_eq!(
            text.contains("libstdc++-6.dll"),
            !packed,
            "it says what is missing: {text}"
        );
    }
}
