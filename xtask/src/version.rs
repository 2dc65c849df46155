//! The version of a release: the same in the tag and in every file that names it.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// The version of the program, from `cargo metadata`.
///
/// # Errors
/// When cargo does not answer.
pub(crate) fn of_workspace() -> Result<String> {
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"].as_array();
    packages
        .into_iter()
        .flatten()
        .find(|package| package["name"] == "tandem")
        .and_then(|package| package["version"].as_str())
        .map(String::from)
        .context("cargo metadata has no program")
}

/// `cargo xtask version TAG`: checks that a tag, such as `v1.2.3`, is the version of the sources, and
/// that the changelog has notes for it.
///
/// # Errors
/// When it is not, or a file cannot be read. The message names what differs.
pub(crate) fn check(tag: &str) -> Result<()> {
    let root = workspace::root();
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"))
    };
    let page: serde_json::Value =
        serde_json::from_str(&read("ui/package.json")?).context("ui/package.json is not JSON")?;

    compare(
        tag,
        &[
            ("Cargo.toml", &of_workspace()?),
            (
                "ui/package.json",
                page["version"].as_str().unwrap_or_default(),
            ),
        ],
        &read("CHANGELOG.md")?,
    )
}

fn compare(tag: &str, found: &[(&str, &str)], changelog: &str) -> Result<()> {
    let Some(wanted) = tag.strip_prefix('v') else {
        bail!("the tag {tag} is no version: releases have tags such as v1.2.3");
    };

    for (file, version) in found {
        if *version != wanted {
            bail!("the tag {tag} is not the version of {file}, which is {version}");
        }
    }

    let heading = format!("## {wanted}");
    let has_notes = changelog.lines().any(|line| {
        line.strip_prefix(&heading)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    });
    if !has_notes {
        bail!("CHANGELOG.md has no section `{heading}`");
    }

    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_must_be_the_version_of_every_file_and_have_notes() {
        let notes = "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2026-12-01)\n";
        let same = [("Cargo.toml", "1.2.3"), ("ui/package.json", "1.2.3")];
        compare("v1.2.3", &same, notes).expect("all agree");

        let other = [("Cargo.toml", "1.2.3"), ("ui/package.json", "1.2.2")];
        for (tag, found, notes, named) in [
            ("1.2.3", &same, notes, "1.2.3"),
            ("v1.2.4", &same, notes, "Cargo.toml"),
            ("v1.2.3", &other, notes, "ui/package.json"),
            ("v1.2.3", &same, "## 1.2.30\n", "CHANGELOG.md"),
        ] {
            let error = compare(tag, found, notes)
                .expect_err("they differ")
                .to_string();
            assert!(
                error.contains(named),
                "{tag}: what differs is named: {error}"
            );
        }
    }
}
