//! The crates that are linked into Tandem for one target, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::shell::Shell;
use crate::workspace;

/// The program whose crates are listed.
const PROGRAM: &str = "tandem";

/// A crate that is linked into the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The license expression, if it has one.
    pub(crate) license: Option<String>,
    pub(crate) authors: Vec<String>,
    pub(crate) repository: Option<String>,
    /// The folder of its sources.
    pub(crate) folder: PathBuf,
    /// Whether it is one of ours, which are covered by Tandem's own license.
    pub(crate) is_ours: bool,
    /// What `Cargo.lock` says the SHA-256 of its archive is.
    pub(crate) checksum: Option<String>,
    /// The indices of the linked crates that it uses, in [`Graph::crates`].
    pub(crate) uses: Vec<usize>,
}

/// The program and all crates that are linked into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Graph {
    /// In the order of their names and versions.
    pub(crate) crates: Vec<Crate>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// `None` for normal dependencies, else `build` or `dev`.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

impl Graph {
    /// What is linked into Tandem, with its window, for `target`.
    ///
    /// # Errors
    /// When cargo does not answer, or `Cargo.lock` cannot be read.
    pub(crate) fn of(target: &str) -> Result<Self> {
        let metadata = Shell::cargo(["metadata", "--locked", "--format-version=1"])
            .args(["--filter-platform", target])
            .output()?;
        let path = workspace::root().join("Cargo.lock");
        let lock =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&metadata, &lock)
    }

    fn parse(metadata: &str, lock: &str) -> Result<Self> {
        let metadata: Metadata =
            serde_json::from_str(metadata).context("cargo metadata has another form")?;
        let lock: Lock = toml::from_str(lock).context("Cargo.lock has another form")?;
        let checksums: BTreeMap<(&str, &str), &Option<String>> = lock
            .package
            .iter()
            .map(|locked| {
                (
                    (locked.name.as_str(), locked.version.as_str()),
                    &locked.checksum,
                )
            })
            .collect();
        let packages: BTreeMap<&str, &Package> = metadata
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package))
            .collect();
        let nodes: BTreeMap<&str, &Node> = metadata
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();

        let start = metadata
            .packages
            .iter()
            .find(|package| package.name == PROGRAM)
            .context("cargo metadata has no program")?;

        // Procedural macros and what they use run while building, and so do build scripts.
        let is_linked = |id: &str| {
            packages.get(id).is_some_and(|package| {
                let kinds = package.targets.iter().flat_map(|target| &target.kind);
                !kinds.into_iter().any(|kind| kind == "proc-macro")
            })
        };
        let uses = |id: &str| -> Vec<&str> {
            let deps = nodes.get(id).map_or(&[][..], |node| &node.deps);
            deps.iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind.is_none()))
                .map(|dep| dep.pkg.as_str())
                .filter(|pkg| is_linked(pkg))
                .collect()
        };

        let mut found = BTreeSet::new();
        let mut open = vec![start.id.as_str()];
        while let Some(id) = open.pop() {
            if found.insert(id) {
                open.extend(uses(id));
            }
        }

        let mut ids: Vec<&str> = found.into_iter().collect();
        ids.sort_by_key(|id| (&packages[id].name, &packages[id].version));
        let index: BTreeMap<&str, usize> = ids.iter().copied().zip(0..).collect();
        let crates = ids.iter().map(|id| {
            let package = packages[id];
            let key = (package.name.as_str(), package.version.as_str());
            let mut uses: Vec<usize> = uses(id).into_iter().map(|id| index[id]).collect();
            uses.sort_unstable();
            uses.dedup();
            Crate {
                name: package.name.clone(),
                version: package.version.clone(),
                license: package.license.clone(),
                authors: package.authors.clone(),
                repository: package.repository.clone(),
                folder: package
                    .manifest_path
                    .parent()
                    .map(PathBuf::from)
                    .unwrap_or_default(),
                is_ours: metadata.workspace_members.contains(package.id.as_str()),
                checksum: checksums.get(&key).copied().cloned().flatten(),
                uses,
            }
        });

        Ok(Self {
            crates: crates.collect(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A program that links `linked`, which links `deeper`; `macro` and `builder` only run at build time.
    pub(in crate::notices) fn example() -> Graph {
        let package = |name: &str, kind: &str| {
            format!(
                r#"{{"id": "{name} 1", "name": "{name}", "version": "1.0.0", "license": "MIT",
                    "authors": ["A"], "repository": "https://example.org/{name}",
                    "manifest_path": "/src/{name}/Cargo.toml", "targets": [{{"kind": ["{kind}"]}}]}}"#
            )
        };
        let dep = |name: &str, kind: &str| {
            format!(r#"{{"pkg": "{name} 1", "dep_kinds": [{{"kind": {kind}}}]}}"#)
        };
        let node = |name: &str, deps: &[String]| {
            format!(r#"{{"id": "{name} 1", "deps": [{}]}}"#, deps.join(","))
        };
        let packages = [
            package("tandem", "bin"),
            package("linked", "lib"),
            package("deeper", "lib"),
            package("macro", "proc-macro"),
            package("builder", "lib"),
        ];
        let nodes = [
            node(
                "tandem",
                &[
                    dep("linked", "null"),
                    dep("macro", "null"),
                    dep("builder", "\"build\""),
                ],
            ),
            node("linked", &[dep("deeper", "null"), dep("tandem", "\"dev\"")]),
            node("deeper", &[]),
            node("macro", &[dep("builder", "null")]),
            node("builder", &[]),
        ];
        let metadata = format!(
            r#"{{"packages": [{}], "workspace_members": ["tandem 1"], "resolve": {{"nodes": [{}]}}}}"#,
            packages.join(","),
            nodes.join(",")
        );
        let lock = "[[package]]\nname = \"linked\"\nversion = \"1.0.0\"\nchecksum = \"abc\"\n";
        Graph::parse(&metadata, lock).expect("it has cargo's form")
    }

    #[test]
    fn what_runs_only_while_building_is_not_linked() {
        let graph = example();
        let names: Vec<&str> = graph.crates.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(
            names,
            ["deeper", "linked", "tandem"],
            "neither macros nor build scripts, nor what only they use"
        );
        assert_eq!(
            graph.crates[2].uses,
            [1],
            "the program uses one linked crate"
        );
        assert_eq!(graph.crates[1].uses, [0], "and that another");
        assert!(graph.crates[2].is_ours && !graph.crates[1].is_ours);
        assert_eq!(
            graph.crates[1].checksum.as_deref(),
            Some("abc"),
            "from Cargo.lock"
        );
    }
}
