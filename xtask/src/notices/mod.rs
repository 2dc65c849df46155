//! The licenses of all code that is inside an installer: what they require is a notice.
//!
//! `licenses.txt` names each crate that is linked for one target, each package of the page, and the
//! C libraries that no crate brings, with the license texts that their authors ship. A license that
//! `deny.toml` does not allow is an error, and so is code without a text.

mod graph;
mod license;
mod sbom;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{npm, workspace};
use graph::{Crate, Graph};
use license::Policy;

/// Files with these names are notices, whatever follows. The JPEG group's is `README.ijg`.
const NOTICES: [&str; 8] = [
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
    "patents",
    "readme.ijg",
];

/// What follows them in the names of programs, which are no notices.
const SOURCES: [&str; 6] = ["rs", "c", "h", "py", "sh", "toml"];

/// Folders in which crates keep code that is not linked.
const NOT_LINKED: [&str; 6] = ["tests", "test", "benches", "examples", "fuzz", "target"];

/// How deep in a crate the licenses of the C library in it lie, such as `vendor/opus/COPYING`.
const DEPTH: u32 = 3;

/// Longer files are no notices.
const MAX_BYTES: u64 = 200_000;

/// What no crate and no package of the page brings: name, license, text.
const OTHERS: [(&str, &str, &str); 2] = [
    ("libvpx", "BSD-3-Clause", include_str!("texts/libvpx.txt")),
    (
        "WebView2Loader (Windows)",
        "BSD-3-Clause",
        include_str!("texts/webview2-loader.txt"),
    ),
];

/// A part of the installer that is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Its name and version.
    title: String,
    license: String,
    link: String,
    texts: BTreeSet<String>,
}

/// `cargo xtask notices TARGET FILE`, and `sbom` in place of `notices`.
///
/// # Errors
/// When a license is not allowed, a text is missing, or the file cannot be written.
pub(crate) fn write(what: &str, target: &str, file: &Path) -> Result<()> {
    let graph = Graph::of(target)?;
    let text = if what == "sbom" {
        format!("{:#}\n", sbom::cyclonedx(&graph))
    } else {
        notices(&graph)?
    };

    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn notices(graph: &Graph) -> Result<String> {
    let policy = Policy::read()?;
    let mut parts = Vec::new();
    let mut wrong = Vec::new();

    for one in graph.crates.iter().filter(|one| !one.is_ours) {
        match of_crate(one, &graph.crates, &policy) {
            Ok(part) => parts.push(part),
            Err(error) => wrong.push(format!("{} {}: {error:#}", one.name, one.version)),
        }
    }

    if !wrong.is_empty() {
        bail!(
            "the list of licenses is not complete:\n  {}",
            wrong.join("\n  ")
        );
    }

    parts.extend(of_page(&policy)?);
    parts.extend(OTHERS.map(|(title, license, text)| Part {
        title: title.to_owned(),
        license: license.to_owned(),
        link: String::new(),
        texts: BTreeSet::from([text.to_owned()]),
    }));
    parts.sort_by_key(|part| part.title.to_lowercase());
    Ok(compose(&parts))
}

fn of_crate(one: &Crate, all: &[Crate], policy: &Policy) -> Result<Part> {
    let license = one.license.clone().context("it names no license")?;
    if !policy.permits(&one.name, &license) {
        bail!("deny.toml does not allow {license}");
    }

    let mut texts = BTreeSet::new();
    collect(&one.folder, DEPTH, &mut texts)?;
    // Some ship the text with only one of several crates.
    for sister in all.iter().filter(|other| is_sister(one, other)) {
        if texts.is_empty() {
            collect(&sister.folder, DEPTH, &mut texts)?;
        }
    }
    if texts.is_empty() {
        texts.insert(standard_text(&license, &one.authors)?);
    }

    Ok(Part {
        title: format!("{} {}", one.name, one.version),
        license,
        link: one.repository.clone().unwrap_or_default(),
        texts,
    })
}

/// Whether two crates come from one repository, under one license.
fn is_sister(one: &Crate, other: &Crate) -> bool {
    one.repository.is_some() && one.repository == other.repository && one.license == other.license
}

/// The packages that the page is built of, from the folders where npm has put them.
fn of_page(policy: &Policy) -> Result<Vec<Part>> {
    let ui = workspace::root().join("ui");
    if !npm::is_installed(&ui) {
        npm::install(&ui)?;
    }

    let package = read_json(&ui.join("package.json"))?;
    let names = package["dependencies"]
        .as_object()
        .context("ui/package.json names no packages")?;
    names
        .keys()
        .map(|name| {
            let folder = ui.join("node_modules").join(name);
            let package = read_json(&folder.join("package.json"))?;
            let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            let license = text("license");
            if !policy.permits(name, &license) {
                bail!("deny.toml does not allow {license}, the license of {name}");
            }

            let mut texts = BTreeSet::new();
            collect(&folder, 0, &mut texts)?;
            if texts.is_empty() {
                bail!("{name} has no license text");
            }

            Ok(Part {
                title: format!("{name} {}", text("version")),
                license,
                link: text("homepage"),
                texts,
            })
        })
        .collect()
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The notices in `folder`, and in folders that are at most `depth` levels below it.
fn collect(folder: &Path, depth: u32, texts: &mut BTreeSet<String>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let metadata = entry.metadata()?;

        if metadata.is_dir() {
            // A folder of licenses may be called after them.
            if depth > 0 && !NOT_LINKED.contains(&name.as_str()) && !name.starts_with('.') {
                collect(&entry.path(), depth - 1, texts)?;
            }
        } else if is_notice(&name) && metadata.len() <= MAX_BYTES {
            let bytes = fs::read(entry.path())
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
            if !text.trim().is_empty() {
                texts.insert(text.trim().to_owned());
            }
        }
    }

    Ok(())
}

fn is_notice(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    NOTICES.iter().any(|notice| name.starts_with(notice)) && !SOURCES.contains(&extension)
}

/// The text of a license for a crate that ships none: MIT if it may be chosen, else one that is the same
/// for everybody.
fn standard_text(license: &str, authors: &[String]) -> Result<String> {
    let of_root = |name: &str| {
        let path = workspace::root().join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let chosen = |name: &str| license.split(['/', ' ', '(', ')']).any(|word| word == name);

    if chosen("AND") {
        bail!("it has no license text, and {license} needs several");
    }
    if chosen("MIT") {
        let text = of_root("LICENSE-MIT")?;
        let authors = if authors.is_empty() {
            String::from("its authors")
        } else {
            authors.join(", ")
        };
        let lines = text.trim().lines().map(|line| {
            if line.starts_with("Copyright") {
                format!("Copyright (c) {authors}")
            } else {
                line.to_owned()
            }
        });
        return Ok(lines.collect::<Vec<_>>().join("\n"));
    }
    if chosen("Apache-2.0") {
        return Ok(of_root("LICENSE-APACHE")?.trim().to_owned());
    }
    if chosen("MPL-2.0") {
        return Ok(include_str!("texts/MPL-2.0.txt").trim().to_owned());
    }
    bail!("it has no license text, and {license} has none in this repository")
}

/// The list of all parts, and each text once, with the parts that it belongs to.
fn compose(parts: &[Part]) -> String {
    let mut list = String::from(
        "Tandem contains code of the projects below, under the licenses of their authors.\n\n",
    );
    let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for part in parts {
        let _ = writeln!(list, "{}  ({})  {}", part.title, part.license, part.link);
        for text in &part.texts {
            texts.entry(text).or_default().push(&part.title);
        }
    }

    let mut texts: Vec<(Vec<&str>, &str)> = texts
        .into_iter()
        .map(|(text, titles)| (titles, text))
        .collect();
    texts.sort();
    let line = "-".repeat(80);
    for (titles, text) in texts {
        let _ = write!(list, "\n{line}\n{}\n{line}\n\n{text}\n", titles.join(", "));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(title: &str, texts: &[&str]) -> Part {
        Part {
            title: title.to_owned(),
            license: String::from("MIT"),
            link: String::new(),
            texts: texts.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_text_that_two_parts_share_is_printed_once_with_both_names() {
        let list = compose(&[
            part("a 1", &["one text"]),
            part("b 2", &["one text", "another"]),
        ]);
        assert_eq!(list.matches("one text").count(), 1, "{list}");
        assert!(
            list.contains("a 1, b 2"),
            "it says whose text it is: {list}"
        );
        assert!(list.contains("another"), "every text is there: {list}");
    }

    #[test]
    fn notices_are_found_below_a_crate_and_not_in_its_tests() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("vendor/opus")).unwrap();
        fs::create_dir_all(at("tests")).unwrap();
        for name in [
            "LICENSE-MIT",
            "vendor/opus/COPYING",
            "tests/LICENSE",
            "license.rs",
            "main.c",
        ] {
            fs::write(at(name), format!("text of {name}\r\n")).unwrap();
        }

        let mut texts = BTreeSet::new();
        collect(folder.path(), DEPTH, &mut texts).unwrap();
        assert_eq!(
            texts.into_iter().collect::<Vec<_>>(),
            ["text of LICENSE-MIT", "text of vendor/opus/COPYING"],
            "without line ends of other systems, code, and what is not linked"
        );
    }

    #[test]
    fn a_crate_without_a_text_gets_the_one_that_it_chose() {
        let authors = [String::from("A. Author")];
        let text = standard_text("Apache-2.0 OR MIT", &authors).unwrap();
        assert!(
            text.contains("Copyright (c) A. Author") && text.contains("Permission is hereby"),
            "MIT with the crate's own authors: {text}"
        );
        assert!(
            standard_text("Apache-2.0", &[])
                .unwrap()
                .contains("Apache License")
        );
        for license in ["Zlib", "MIT AND Zlib"] {
            assert!(standard_text(license, &authors).is_err(), "{license}");
        }
    }
}
