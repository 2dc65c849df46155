//! The file in which the user's choices are kept.
//!
//! One JSON object with a version, written beside the old one and put in its place in one step, so that neither a crash
//! nor a full disk leaves half a file. A file that cannot be read is set aside under another name and told, never
//! overwritten.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::state::Settings;
use crate::values;

/// The version of the file's form.
const VERSION: u32 = 1;
/// No choice of anybody is longer (bytes).
const MAX_FILE: u64 = 64 * 1024;

/// The code of settings that cannot be written.
pub const NOT_SAVED: &str = "SETTINGS_NOT_SAVED";

/// Where the settings lie.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    path: PathBuf,
}

/// What is wrong with a settings file: code and detail, for the page.
pub type SettingsProblem = (&'static str, String);

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    settings: Settings,
}

impl SettingsFile {
    /// The file in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("settings.json"),
        }
    }

    /// Reads the settings. A file that is not there gives the defaults; one that is broken or of a newer Tandem is set
    /// aside, gives the defaults, and the problem is told.
    #[must_use]
    pub fn load(&self) -> (Settings, Option<SettingsProblem>) {
        let text = match self.read() {
            Ok(Some(text)) => text,
            Ok(None) => return (Settings::default(), None),
            Err(error) => {
                return (
                    Settings::default(),
                    Some((
                        "SETTINGS_UNREADABLE",
                        format!("{}: {error}", self.path.display()),
                    )),
                );
            }
        };

        match parse(&text) {
            Ok(settings) => (settings, None),
            Err((code, why)) => (Settings::default(), Some((code, self.set_aside(&why)))),
        }
    }

    /// Writes the settings, whole or not at all.
    ///
    /// # Errors
    /// When the folder or the disk does not take them: the old ones are still there then.
    pub fn save(&self, settings: &Settings) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let json = to_json(settings)?;
        let new = self.path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&json)?;
        // The name must not point to something that is not on the disk yet.
        file.sync_all()?;

        fs::rename(&new, &self.path)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };

        let mut text = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut text)?;
        Ok(Some(text))
    }

    /// Renames the file, so that nothing in it is lost. Says where it is now.
    fn set_aside(&self, why: &str) -> String {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        let aside = self
            .path
            .with_file_name(format!("settings.broken-{seconds}.json"));

        match fs::rename(&self.path, &aside) {
            Ok(()) => format!("{why}; kept as {}", aside.display()),
            Err(error) => format!("{why}; {} cannot be renamed: {error}", self.path.display()),
        }
    }
}

/// Settings from the bytes of a file; never panics, whatever they are.
///
/// # Errors
/// `SETTINGS_BROKEN` or `SETTINGS_NEWER`, with the reason.
pub fn parse(text: &[u8]) -> Result<Settings, SettingsProblem> {
    let broken = |why: String| ("SETTINGS_BROKEN", why);
    if text.len() as u64 > MAX_FILE {
        return Err(broken(format!("longer than {MAX_FILE} bytes")));
    }

    let value: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| broken(error.to_string()))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) if version > u64::from(VERSION) => {
            return Err((
                "SETTINGS_NEWER",
                format!("version {version}, and this Tandem knows {VERSION}"),
            ));
        }
        _ => return Err(broken("no version".into())),
    }

    let document: Document =
        serde_json::from_value(value).map_err(|error| broken(error.to_string()))?;
    check(document.settings).map_err(broken)
}

/// The bytes of a file with these settings.
///
/// # Errors
/// None that is known: the settings are plain values.
pub fn to_json(settings: &Settings) -> serde_json::Result<Vec<u8>> {
    let document = Document {
        version: VERSION,
        settings: settings.clone(),
    };

    let mut json = serde_json::to_vec_pretty(&document)?;
    json.push(b'\n');
    Ok(json)
}

/// What is written by hand may be anything.
fn check(mut settings: Settings) -> Result<Settings, String> {
    if settings.name.chars().count() > 40 || settings.name.contains(char::is_control) {
        return Err("name: at most 40 characters, none of them a control character".into());
    }

    settings.relay_url =
        values::signaling_url(&settings.relay_url).map_err(|why| format!("relayUrl: {why}"))?;
    let devices = [&settings.camera, &settings.microphone, &settings.speaker];

    if devices.into_iter().flatten().any(|id| id.len() > 1_000) {
        return Err("a device's id is too long".into());
    }

    Ok(settings)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::desktop::state::Theme;

    fn file() -> (tempfile::TempDir, SettingsFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::new(&folder.path().join("not/there/yet"));
        (folder, file)
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let (_folder, file) = file();
        assert_eq!(
            file.load(),
            (Settings::default(), None),
            "a first start has no file, and nothing is wrong with it"
        );

        let settings = Settings {
            name: "Zoë \"<b>\" 日本".into(),
            relay_url: "ws://192.0.2.7:9000/ws".into(),
            camera: Some("name:Front".into()),
            theme: Theme::Dark,
            camera_enabled: false,
            ..Settings::default()
        };

        file.save(&settings).unwrap();
        assert_eq!(file.load(), (settings, None), "as it was");
    }

    #[test]
    fn a_missing_field_has_its_default() {
        let settings = parse(br#"{"version":1,"name":"Ann","later":true}"#).unwrap();
        assert_eq!(
            settings,
            Settings {
                name: "Ann".into(),
                ..Settings::default()
            },
            "older and newer files are fine"
        );
    }

    #[test]
    fn a_broken_file_is_set_aside_and_told() {
        for (text, code) in [
            ("", "SETTINGS_BROKEN"),
            ("{\"version\":1,\"name\":\"An", "SETTINGS_BROKEN"),
            ("[1]", "SETTINGS_BROKEN"),
            ("{}", "SETTINGS_BROKEN"),
            ("{\"version\":1,\"name\":7}", "SETTINGS_BROKEN"),
            (
                "{\"version\":1,\"relayUrl\":\"http://x\"}",
                "SETTINGS_BROKEN",
            ),
            ("{\"version\":2}", "SETTINGS_NEWER"),
            ("\u{0}\u{0}\u{0}", "SETTINGS_BROKEN"),
        ] {
            let (_folder, file) = file();
            file.save(&Settings::default()).unwrap();
            fs::write(&file.path, text).unwrap();
            let (settings, problem) = file.load();
            assert_eq!(settings, Settings::default(), "{text:?} gives the defaults");
            assert_eq!(
                problem.map(|(code, _)| code),
                Some(code),
                "{text:?} is told"
            );
            let kept: Vec<_> = fs::read_dir(file.path.parent().unwrap())
                .unwrap()
                .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
                .collect();
            assert_eq!(kept, [text], "and kept as it was, under another name");
            assert_eq!(
                file.load(),
                (Settings::default(), None),
                "the next start has nothing to complain about"
            );
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::new(folder.path());
        file.save(&Settings {
            name: "old".into(),
            ..Settings::default()
        })
        .unwrap();
        fs::create_dir(folder.path().join("settings.json.new")).unwrap();

        assert!(
            file.save(&Settings::default()).is_err(),
            "the place for the new file is taken"
        );
        assert_eq!(file.load().0.name, "old", "the old one is whole");
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(bytes: Vec<u8>, cut in 0_usize..200) {
            let _ = parse(&bytes);
            let good = serde_json::to_vec(&Document { version: VERSION, settings: Settings::default() }).unwrap();
            let _ = parse(&[&good[..cut.min(good.len())], &bytes].concat());
        }
    }
}
