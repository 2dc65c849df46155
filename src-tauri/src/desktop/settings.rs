//! The settings file.
//!
//! One JSON object with a version. A new file is written beside the old one and renamed over it, so
//! that neither a crash nor a full disk leaves half a file. A file that is not valid is renamed and
//! reported, never overwritten.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: the name of a broken file has the time in it"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::access::MAX_PATH_BYTES;
use super::app::BITRATES_KBPS;
use super::files;
use super::state::Settings;
use crate::error_code::AppErrorCode;
use crate::values;

/// The version of the file format.
const VERSION: u32 = 1;
/// What the settings file of the first versions had as `relayUrl` from the start: no server runs
/// there unless the user started one.
const FORMER_DEFAULT_SERVER: &str = "ws://127.0.0.1:9000/ws";
/// The largest file that is read, in bytes: far more than any settings need.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The longest device id, in bytes.
const MAX_DEVICE_ID_BYTES: usize = 1_000;

/// The place of the settings.
#[derive(Debug, Clone)]
pub struct SettingsFile {
    path: PathBuf,
    /// Files of the machine's administrator. The user's settings replace what they say.
    system: Vec<PathBuf>,
}

/// What is wrong with a settings file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsProblem {
    /// `SETTINGS_BROKEN`, `SETTINGS_NEWER`, `SETTINGS_UNREADABLE` or `SETTINGS_NOT_SAVED`.
    pub code: AppErrorCode,
    /// The reason, and where the file is now.
    pub detail: String,
}

impl SettingsProblem {
    /// A problem with its reason.
    pub fn new(code: AppErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl SettingsFile {
    /// The settings file in `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("settings.json"),
            system: Vec::new(),
        }
    }

    /// Takes what the user has not set from the first of these files that exists, in the same
    /// format.
    #[must_use]
    pub fn with_system_files(mut self, files: Vec<PathBuf>) -> Self {
        self.system = files;
        self
    }

    /// Reads the settings. Without a file, returns the defaults. If something in the file is not
    /// valid or the file is of a newer version, renames it, so that nothing is lost, and returns what
    /// could be read with the problem.
    #[must_use]
    pub fn load(&self) -> (Settings, Option<SettingsProblem>) {
        let system = self.system_fields();
        let text = match files::read(&self.path, MAX_FILE_BYTES) {
            Ok(Some(text)) => text,
            Ok(None) => return (settings_of(system), None),
            Err(error) => {
                let detail = format!("{}: {error}", self.path.display());
                let problem = SettingsProblem::new(AppErrorCode::SettingsUnreadable, detail);
                return (settings_of(system), Some(problem));
            }
        };

        let (settings, problem) = parse_over(system, &text);
        let problem = problem.map(|problem| {
            let detail = self.set_aside(&problem.detail);
            SettingsProblem::new(problem.code, detail)
        });

        (settings, problem)
    }

    /// Writes the settings, completely or not at all. What the user has never set is left out: there,
    /// the system's file and the defaults apply, now and when they change.
    ///
    /// # Errors
    /// When the folder cannot be written or the disk is full. The old file is unchanged then.
    pub fn save(&self, settings: &Settings) -> io::Result<()> {
        let base = fields_of(&settings_of(self.system_fields()))?;
        let before = files::read(&self.path, MAX_FILE_BYTES)
            .ok()
            .flatten()
            .and_then(|text| read_fields(&text).ok())
            .map(|(fields, _)| fields)
            .unwrap_or_default();

        let mut fields = fields_of(settings)?;
        fields.retain(|name, value| before.contains_key(name) || base.get(name) != Some(value));
        files::write_private(&self.path, &document(fields)?)
    }

    /// What the machine's administrator has set.
    fn system_fields(&self) -> Map<String, Value> {
        for path in &self.system {
            match files::read(path, MAX_FILE_BYTES) {
                Ok(None) => {}
                Ok(Some(text)) => match read_fields(&text) {
                    Ok((fields, problem)) => {
                        if let Some(problem) = problem {
                            tracing::warn!(file = %path.display(), why = problem.detail, "part of the system's settings is ignored");
                        }

                        return fields;
                    }
                    Err(why) => {
                        tracing::warn!(file = %path.display(), why, "the system's settings are ignored");
                    }
                },
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "the system's settings are ignored");
                }
            }
        }

        Map::new()
    }

    /// Renames the file, so that nothing in it is lost. Returns `why` with its new name.
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

/// Parses the bytes of a settings file, field by field: one that cannot be read has its default, and
/// the others keep what the file says. Never panics, whatever the bytes are.
///
/// The problem, if there is one, is `SETTINGS_BROKEN` or `SETTINGS_NEWER`, with the reason.
#[must_use]
pub fn parse(text: &[u8]) -> (Settings, Option<SettingsProblem>) {
    parse_over(Map::new(), text)
}

/// The same; what the file does not say comes from `fields`.
fn parse_over(mut fields: Map<String, Value>, text: &[u8]) -> (Settings, Option<SettingsProblem>) {
    match read_fields(text) {
        Ok((own, problem)) => {
            fields.extend(own);
            (settings_of(fields), problem)
        }
        Err(why) => (
            settings_of(fields),
            Some(SettingsProblem::new(AppErrorCode::SettingsBroken, why)),
        ),
    }
}

/// The settings of fields that were checked one by one.
fn settings_of(fields: Map<String, Value>) -> Settings {
    let mut settings: Settings = serde_json::from_value(Value::Object(fields)).unwrap_or_default();
    // Without control characters.
    settings.name = values::optional_name(&settings.name).unwrap_or_default();
    settings.location = values::location(&settings.location).unwrap_or_default();
    settings.interests = values::interests(&settings.interests).unwrap_or_default();
    settings
}

/// The fields of a file that can be read, and what is wrong with the others.
fn read_fields(text: &[u8]) -> Result<(Map<String, Value>, Option<SettingsProblem>), String> {
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("longer than {MAX_FILE_BYTES} bytes"));
    }

    let fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let version = fields.get("version").and_then(Value::as_u64);
    let version = version.ok_or("no version")?;

    let mut broken = Vec::new();
    let mut good: Map<String, Value> = fields
        .into_iter()
        .filter(|(name, value)| match field(name, value) {
            Ok(()) => true,
            Err(why) => {
                broken.push(format!("{name}: {why}"));
                false
            }
        })
        .collect();

    // The former name of the same field. Every file had it then, also those of users who never
    // chose a server.
    let former = good.remove("relayUrl");
    let is_chosen = good.contains_key("welcomed")
        || former.as_ref().and_then(Value::as_str) != Some(FORMER_DEFAULT_SERVER);
    if let Some(url) = former.filter(|_| is_chosen) {
        good.entry("serverUrl").or_insert(url);
    }

    let problem = if version > u64::from(VERSION) {
        let why = format!("version {version}; this Tandem reads version {VERSION}");
        Some(SettingsProblem::new(AppErrorCode::SettingsNewer, why))
    } else if broken.is_empty() {
        None
    } else {
        let why = broken.join("; ");
        Some(SettingsProblem::new(AppErrorCode::SettingsBroken, why))
    };

    Ok((good, problem))
}

/// Checks one field by itself, which a user may have edited by hand. Fields that are not known pass:
/// they are ignored.
fn field(name: &str, value: &Value) -> Result<(), String> {
    let alone = Map::from_iter([(name.to_owned(), value.clone())]);
    let settings: Settings =
        serde_json::from_value(Value::Object(alone)).map_err(|error| error.to_string())?;

    values::optional_name(&settings.name)?;
    values::location(&settings.location)?;
    values::interests(&settings.interests)?;
    settings.age.map(values::age).transpose()?;
    let devices = [
        &settings.camera,
        &settings.microphone,
        &settings.speaker,
        &settings.ring_speaker,
    ];

    if devices
        .into_iter()
        .flatten()
        .any(|id| id.len() > MAX_DEVICE_ID_BYTES)
    {
        return Err("the id of a device is too long".into());
    }

    if settings
        .ca_file
        .as_deref()
        .is_some_and(|path| path.len() > MAX_PATH_BYTES || path.contains('\0'))
    {
        return Err("this is not a valid file path".into());
    }

    if !BITRATES_KBPS.contains(&settings.max_bitrate_kbps) {
        return Err("the bitrate is out of range".into());
    }

    Ok(())
}

/// The bytes of a settings file that says everything.
///
/// # Errors
/// Never in practice: the settings are plain values.
pub fn to_json(settings: &Settings) -> serde_json::Result<Vec<u8>> {
    document(fields_of(settings)?)
}

fn fields_of(settings: &Settings) -> serde_json::Result<Map<String, Value>> {
    match serde_json::to_value(settings)? {
        Value::Object(fields) => Ok(fields),
        _ => unreachable!("settings are an object"),
    }
}

fn document(fields: Map<String, Value>) -> serde_json::Result<Vec<u8>> {
    let version = ("version".to_owned(), Value::from(VERSION));
    let document = Map::from_iter([version].into_iter().chain(fields));

    let mut json = serde_json::to_vec_pretty(&document)?;
    json.push(b'\n');
    Ok(json)
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
    fn saved_settings_are_read_back() {
        let (_folder, file) = file();
        assert_eq!(
            file.load(),
            (Settings::default(), None),
            "no file is no problem"
        );

        let settings = Settings {
            name: "Zoë \"<b>\" 日本".into(),
            server_url: "ws://192.0.2.7:9000".parse().ok(),
            camera: Some("name:Front".into()),
            theme: Theme::Dark,
            camera_enabled: false,
            ..Settings::default()
        };

        file.save(&settings).unwrap();
        assert_eq!(file.load(), (settings, None), "unchanged");
    }

    #[test]
    fn the_server_under_its_former_key_is_kept() {
        let (settings, _) = parse(br#"{"version":1,"relayUrl":"ws://192.0.2.7:9000/ws"}"#);
        assert_eq!(settings.server_url, "ws://192.0.2.7:9000/ws".parse().ok());

        let both = br#"{"version":1,"relayUrl":"ws://192.0.2.7:9000/ws","serverUrl":"wss://chat.example.org"}"#;
        let (settings, problem) = parse(both);
        assert_eq!(settings.server_url, "wss://chat.example.org".parse().ok());
        assert_eq!(problem, None, "the new name counts");
    }

    #[test]
    fn the_former_default_server_counts_as_none() {
        let former = br#"{"version":1,"name":"Ann","relayUrl":"ws://127.0.0.1:9000/ws"}"#;
        let (settings, problem) = parse(former);
        assert_eq!((settings.server_url, problem), (None, None));

        for chosen in [
            r#"{"version":1,"serverUrl":"ws://127.0.0.1:9000/ws"}"#,
            r#"{"version":1,"relayUrl":"ws://127.0.0.1:9000/ws","welcomed":true}"#,
        ] {
            let (settings, _) = parse(chosen.as_bytes());
            assert!(settings.server_url.is_some(), "{chosen}");
        }
    }

    #[test]
    fn a_missing_field_has_its_default() {
        let (settings, problem) = parse(br#"{"version":1,"name":"Ann","later":true}"#);
        assert_eq!(
            settings,
            Settings {
                name: "Ann".into(),
                ..Settings::default()
            },
            "unknown fields are ignored"
        );
        assert_eq!(problem, None);
    }

    #[test]
    fn one_field_that_cannot_be_read_costs_no_other() {
        let long = "x".repeat(MAX_DEVICE_ID_BYTES + 1);
        for (field, names) in [
            (r#""serverUrl":"gopher://later""#.to_owned(), "serverUrl"),
            (r#""theme":"sepia""#.to_owned(), "theme"),
            (r#""muted":"perhaps""#.to_owned(), "muted"),
            (r#""maxBitrateKbps":0"#.to_owned(), "maxBitrateKbps"),
            (r#""videoSize":"8k""#.to_owned(), "videoSize"),
            (r#""caFile":"a\u0000b""#.to_owned(), "caFile"),
            (format!(r#""camera":"{long}""#), "camera"),
        ] {
            let text = format!(r#"{{"version":1,"name":"Ann","microphone":"mic-2",{field}}}"#);
            let (settings, problem) = parse(text.as_bytes());
            let expected = Settings {
                name: "Ann".into(),
                microphone: Some("mic-2".into()),
                ..Settings::default()
            };
            assert_eq!(settings, expected, "{names} alone has its default");

            let problem = problem.expect("it is reported");
            assert_eq!(problem.code, AppErrorCode::SettingsBroken);
            assert!(problem.detail.contains(names), "{}", problem.detail);
        }
    }

    #[test]
    fn a_file_of_a_later_version_keeps_what_is_understood() {
        let text = br#"{"version":7,"name":"Ann","theme":{"dark":true},"serverUrl":"wss://chat.example.org/ws"}"#;
        let (settings, problem) = parse(text);
        assert_eq!(settings.name, "Ann");
        assert_eq!(
            settings.server_url,
            "wss://chat.example.org/ws".parse().ok()
        );
        assert_eq!(
            problem.map(|problem| problem.code),
            Some(AppErrorCode::SettingsNewer)
        );
    }

    #[test]
    fn what_the_administrator_set_applies_until_the_user_sets_it() {
        let (folder, file) = file();
        let system = folder.path().join("system.json");
        let text =
            r#"{"version":1,"serverUrl":"wss://chat.example.org","muted":true,"theme":"sepia"}"#;
        fs::write(&system, text).unwrap();
        let missing = folder.path().join("missing.json");
        let file = file.with_system_files(vec![missing, system.clone()]);

        let (settings, problem) = file.load();
        assert_eq!(settings.server_url, "wss://chat.example.org".parse().ok());
        assert!(settings.muted && settings.theme == Theme::System);
        assert_eq!(problem, None, "the user can do nothing about it");

        // The user changes one setting. The administrator changes the others later.
        let mut settings = settings;
        settings.theme = Theme::Dark;
        file.save(&settings).unwrap();
        let text = r#"{"version":1,"serverUrl":"wss://new.example.org","theme":"light"}"#;
        fs::write(&system, text).unwrap();
        let (mut settings, _) = file.load();
        assert_eq!(settings.server_url, "wss://new.example.org".parse().ok());
        assert!(!settings.muted, "nothing says so any more");
        assert_eq!(settings.theme, Theme::Dark, "the user's");

        // What the user has set stays set, also if it is what the administrator wants.
        settings.theme = Theme::Light;
        settings.server_url = None;
        file.save(&settings).unwrap();
        fs::write(&system, text.replace("light", "dark")).unwrap();
        let (settings, _) = file.load();
        assert_eq!((settings.server_url, settings.theme), (None, Theme::Light));

        fs::write(&system, "{").unwrap();
        assert_eq!(file.load().1, None);
    }

    #[test]
    fn an_invalid_file_is_renamed_and_reported() {
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
            assert_eq!(
                settings,
                Settings::default(),
                "{text:?} yields the defaults"
            );
            assert_eq!(
                problem.map(|problem| problem.code.as_str()),
                Some(code),
                "{text:?} is reported"
            );
            let kept: Vec<_> = fs::read_dir(file.path.parent().unwrap())
                .unwrap()
                .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
                .collect();
            assert_eq!(kept, [text], "the file is kept under another name");
            assert_eq!(
                file.load(),
                (Settings::default(), None),
                "the next start has no problem"
            );
        }
    }

    #[test]
    fn a_failed_save_leaves_the_old_file() {
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
            "a folder has the name of the new file"
        );
        assert_eq!(file.load().0.name, "old", "the old file is unchanged");
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(bytes: Vec<u8>, cut in 0_usize..200) {
            let _ = parse(&bytes);
            let good = to_json(&Settings::default()).unwrap();
            let _ = parse(&[&good[..cut.min(good.len())], &bytes].concat());
        }
    }
}
