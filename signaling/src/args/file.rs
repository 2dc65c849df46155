//! The configuration file: TOML whose keys are the names of the flags.
//!
//! Its values become the defaults of the command line. So a flag overrides an environment variable,
//! which overrides the file, which overrides the built-in default, and the same parsers read them
//! all.

use std::fs;
use std::path::Path;

use clap::builder::OsStr;
use clap::{ArgAction, Command};
use toml::{Table, Value};

/// Makes the values in the file the defaults of `command`.
///
/// # Errors
/// A sentence with the name of the file and, if possible, the line: the file cannot be read, is not
/// TOML, or has a key or a type of value that no flag takes.
pub(super) fn with_defaults(command: Command, path: &Path) -> Result<Command, String> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read --config {name}: {error}"))?;
    apply(command, &text).map_err(|error| format!("in {name}: {error}"))
}

fn apply(mut command: Command, text: &str) -> Result<Command, String> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| error.to_string())?;

    for (key, value) in table {
        let id = key.replace('-', "_");
        // Only --help and --version have no variable; they are not settings.
        let known = command
            .get_arguments()
            .find(|arg| arg.get_long() == Some(key.as_str()) && arg.get_env().is_some());

        let Some(arg) = known.filter(|_| key != "config") else {
            let names: Vec<&str> = command
                .get_arguments()
                .filter(|arg| arg.get_env().is_some())
                .filter_map(clap::Arg::get_long)
                .filter(|name| *name != "config")
                .collect();

            return Err(format!(
                "there is no setting `{key}`; the settings are {}",
                names.join(", ")
            ));
        };

        let values = match value {
            Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => values
                .iter()
                .map(|value| scalar(&key, value))
                .collect::<Result<Vec<_>, _>>()?,
            Value::Array(_) => return Err(format!("`{key}` takes one value, not a list")),
            value => vec![scalar(&key, &value)?],
        };

        command = command.mut_arg(id, |arg| arg.default_values(values));
    }

    Ok(command)
}

fn scalar(key: &str, value: &Value) -> Result<OsStr, String> {
    match value {
        Value::String(text) => Ok(OsStr::from(text.clone())),
        Value::Integer(number) => Ok(OsStr::from(number.to_string())),
        other => Err(format!(
            "`{key}` takes a string or a whole number, not a {}",
            other.type_str()
        )),
    }
}
