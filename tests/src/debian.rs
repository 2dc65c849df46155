//! Questions to Debian's package manager about this machine.

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use crate::process::tool;

/// The installed packages that own a shared library of this name.
///
/// # Errors
/// When none does.
pub fn owners(library: &str) -> Result<Vec<String>> {
    let text = tool("dpkg-query", ["--search", &format!("*/{library}")])?;
    let owner = |line: &str| Some(line.split_once(": ")?.0.split(':').next()?.to_owned());
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .filter_map(owner)
        .collect())
}

/// These packages and all installed packages that they depend on.
///
/// # Errors
/// When `dpkg-query` does not answer.
pub fn closure(names: impl IntoIterator<Item = String>) -> Result<HashSet<String>> {
    let text = tool(
        "dpkg-query",
        [
            "--show",
            "--showformat",
            "${Package}\t${Pre-Depends},${Depends}\n",
        ],
    )?;
    let text = String::from_utf8_lossy(&text);
    let depends: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut found = HashSet::new();
    let mut open: Vec<String> = names.into_iter().collect();

    while let Some(name) = open.pop() {
        if let Some(more) = depends.get(name.as_str())
            && found.insert(name)
        {
            open.extend(self::names(more));
        }
    }

    Ok(found)
}

/// The names in a `Depends` field: `libc6 (>= 2.36), default-mta | mail-transport-agent` has three.
pub fn names(field: &str) -> Vec<String> {
    let name = |entry: &str| {
        entry
            .split_whitespace()
            .next()?
            .split(':')
            .next()
            .map(str::to_owned)
    };

    field.split([',', '|']).filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depends_field_yields_its_package_names() {
        assert_eq!(
            names("libc6 (>= 2.36), default-mta | python3:any, x"),
            ["libc6", "default-mta", "python3", "x"],
            "without versions and architectures, alternatives one by one"
        );
        assert!(names(" , ").is_empty(), "an empty field has no names");
    }
}
