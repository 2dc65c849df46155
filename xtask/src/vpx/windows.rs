//! libvpx for Windows, built on Debian and Ubuntu from their source package with mingw-w64.
//!
//! apt verifies the source, and the distribution's security fixes are in it. apt works on package
//! lists of its own below the cache folder, so it needs no root and leaves the machine's alone. The
//! library is kept; only another version of the package is built again.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};

use super::Library;
use crate::shell::{Shell, step};
use crate::workspace;

/// VP8 alone, within the sizes that Debian's package allows, and nothing but the library.
const CONFIGURE: [&str; 11] = [
    "--target=x86_64-win64-gcc",
    "--disable-vp9",
    "--disable-examples",
    "--disable-tools",
    "--disable-docs",
    "--disable-unit-tests",
    "--disable-webm-io",
    "--disable-libyuv",
    "--disable-install-bins",
    "--as=nasm",
    "--size-limit=16384x16384",
];

/// The keys of the archives. A machine's own lists may name them per archive, and apt does not say
/// how.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
];

/// Where apt would get a package.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    version: String,
    archive: String,
    suite: String,
    component: String,
}

impl Offer {
    /// Reads a line of `apt-cache madison`: package, version, and archive with suite and component.
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('|').map(str::trim);
        let (_package, version, place) = (columns.next()?, columns.next()?, columns.next()?);
        let mut words = place.split_whitespace();
        let (archive, place) = (words.next()?, words.next()?);
        let (suite, component) = place.rsplit_once('/')?;

        Some(Self {
            version: version.to_owned(),
            archive: archive.to_owned(),
            suite: suite.to_owned(),
            component: component.to_owned(),
        })
    }

    /// The line of a `sources.list` that names the sources of the same archive.
    fn sources(&self, keyrings: &[&str]) -> String {
        let options = if keyrings.is_empty() {
            String::new()
        } else {
            format!("[signed-by={}] ", keyrings.join(","))
        };

        format!(
            "deb-src {options}{} {} {}\n",
            self.archive, self.suite, self.component
        )
    }
}

/// What the library is made of.
pub(crate) struct Prepared {
    /// Where it is, or will be.
    folder: PathBuf,
    /// Its source and where to build it, if it is not there yet.
    source: Option<(PathBuf, PathBuf)>,
}

/// Looks for the library in the cache folder, and fetches its source if it is not there.
///
/// # Errors
/// When it is not there, and apt does not know the package or cannot fetch its source.
pub(crate) fn prepare() -> Result<Prepared> {
    let cache = workspace::cache_dir()?;
    let offer = match offer() {
        Ok(offer) => offer,
        Err(error) => {
            let folder = newest_in(&cache).ok_or(error)?;
            return Ok(Prepared {
                folder,
                source: None,
            });
        }
    };

    // The sources may be a little newer than this machine's package lists say.
    let folder = cache.join(format!("libvpx-{}-windows", offer.version));
    if is_built(&folder) {
        return Ok(Prepared {
            folder,
            source: None,
        });
    }

    let scratch = cache.join(format!("libvpx-windows.building-{}", std::process::id()));
    let source = fetch(&offer, &scratch).inspect_err(|_| {
        let _ = fs::remove_dir_all(&scratch);
    })?;
    Ok(Prepared {
        folder,
        source: Some((source, scratch)),
    })
}

impl Prepared {
    /// The library, built if it is not there yet.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn library(self) -> Result<Library> {
        if let Some((source, scratch)) = self.source {
            step("Building libvpx for Windows (once)", || {
                let built = build(&source, &scratch)?;
                // Another run may have been faster.
                if !is_built(&self.folder) {
                    let _ = fs::remove_dir_all(&self.folder);
                    fs::rename(&built, &self.folder).context("cannot move libvpx to its place")?;
                }

                fs::remove_dir_all(&scratch).context("cannot remove the source of libvpx")
            })?;
        }

        described(self.folder.join("lib"))
    }
}

fn is_built(folder: &Path) -> bool {
    folder.join("lib/libvpx.a").exists()
}

/// The library that was built last, for a machine on which apt says nothing now.
fn newest_in(cache: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(cache)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    folders
        .filter(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libvpx-") && name.ends_with("-windows") && is_built(folder)
        })
        .max_by_key(|folder| fs::metadata(folder).and_then(|data| data.modified()).ok())
}

/// The library in a folder that has `libvpx.a` and its description.
fn described(folder: PathBuf) -> Result<Library> {
    let description = folder.join("pkgconfig/vpx.pc");
    let description = fs::read_to_string(&description)
        .with_context(|| format!("cannot read {}", description.display()))?;
    let version = version(&description).context("vpx.pc names no version")?;
    Ok(Library { folder, version })
}

/// The newest libvpx that apt offers this machine.
fn offer() -> Result<Offer> {
    let lines = Shell::new("apt-cache", ["madison", "libvpx-dev"])
        .output()
        .context("libvpx for Windows is built from the source package of Debian or Ubuntu")?;
    lines
        .lines()
        .find_map(Offer::parse)
        .context("apt knows no libvpx-dev: run `apt-get update`")
}

/// Fetches and unpacks the source, and returns its folder.
fn fetch(offer: &Offer, scratch: &Path) -> Result<PathBuf> {
    let [lists, cache, sources] = ["lists", "cache", "sources"].map(|name| scratch.join(name));
    for folder in [
        lists.join("partial"),
        cache.join("archives/partial"),
        sources.clone(),
    ] {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }

    let keyrings: Vec<&str> = KEYRINGS
        .into_iter()
        .filter(|file| Path::new(file).exists())
        .collect();
    let list = scratch.join("sources.list");
    fs::write(&list, offer.sources(&keyrings))
        .with_context(|| format!("cannot write {}", list.display()))?;

    let settings = [
        format!("Dir::Etc::SourceList={}", list.display()),
        "Dir::Etc::SourceParts=/dev/null".to_owned(),
        format!("Dir::State::Lists={}", lists.display()),
        format!("Dir::Cache={}", cache.display()),
    ];
    let apt = |command: &[&str]| {
        let settings = settings.iter().flat_map(|setting| ["-o", setting]);
        Shell::new("apt-get", ["-q"])
            .args(settings)
            .args(command)
            .dir(&sources)
            .output()
    };
    apt(&["update"])?;
    apt(&["source", "libvpx"])?;

    only_folder(&sources)
}

fn only_folder(parent: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))?;
    let folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();

    match folders.as_slice() {
        [folder] => Ok(folder.clone()),
        _ => bail!("apt unpacked {} folders instead of one", folders.len()),
    }
}

/// Builds and installs into a folder of `scratch`, and returns that.
fn build(source: &Path, scratch: &Path) -> Result<PathBuf> {
    let [objects, headers, installed] =
        ["objects", "headers", "installed"].map(|name| scratch.join(name));
    for folder in [&objects, &headers] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }

    // mingw-w64 has this header, and every program would need winpthreads. Without it libvpx takes
    // Windows' own threads.
    let header = headers.join("pthread.h");
    fs::write(&header, "#error \"libvpx does without\"\n")
        .with_context(|| format!("cannot write {}", header.display()))?;

    Shell::new(source.join("configure"), CONFIGURE)
        .args([
            format!("--prefix={}", installed.display()),
            format!("--extra-cflags=-I{}", headers.display()),
        ])
        .env("CROSS", "x86_64-w64-mingw32-")
        .dir(&objects)
        .output()?;

    let jobs = thread::available_parallelism().map_or(1, NonZero::get);
    for words in [format!("--jobs={jobs}"), "install".to_owned()] {
        Shell::new("make", [words]).dir(&objects).output()?;
    }

    Ok(installed)
}

/// The version in a pkg-config file.
fn version(description: &str) -> Option<String> {
    description
        .lines()
        .find_map(|line| line.strip_prefix("Version:"))
        .map(|version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_comes_from_the_archive_of_the_package() {
        let offer = Offer::parse(
            " libvpx-dev | 1.12.0-1+deb12u5 | http://archive.test/debian bookworm/main amd64 Packages",
        )
        .expect("a line of apt-cache madison");
        assert_eq!(offer.version, "1.12.0-1+deb12u5");
        assert_eq!(
            offer.sources(&["/a.gpg", "/b.gpg"]),
            "deb-src [signed-by=/a.gpg,/b.gpg] http://archive.test/debian bookworm main\n"
        );
        assert_eq!(
            offer.sources(&[]),
            "deb-src http://archive.test/debian bookworm main\n",
            "apt takes its own keys"
        );

        let suite =
            Offer::parse("libvpx-dev | 1 | file:/mirror stable/updates/main amd64 Packages");
        assert_eq!(
            suite.expect("a line").suite,
            "stable/updates",
            "a suite may have a slash"
        );
    }

    #[test]
    fn what_is_not_an_offer_is_passed_over() {
        for line in [
            "",
            "N: Unable to locate package libvpx-dev",
            "a | b",
            "a | b | c",
        ] {
            assert_eq!(Offer::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn without_apt_the_newest_library_is_taken() {
        let cache = tempfile::tempdir().expect("a folder");
        assert_eq!(newest_in(cache.path()), None);

        for name in ["libvpx-1-windows", "libvpx-2-windows", "other-windows"] {
            let library = cache.path().join(name).join("lib");
            fs::create_dir_all(&library).expect("a writable folder");
            fs::write(library.join("libvpx.a"), name).expect("a writable folder");
        }
        fs::create_dir_all(cache.path().join("libvpx-3-windows")).expect("a writable folder");

        let found = newest_in(cache.path()).expect("two are complete");
        assert!(found.ends_with("libvpx-1-windows") || found.ends_with("libvpx-2-windows"));
    }

    #[test]
    fn the_version_is_that_of_the_pkg_config_file() {
        let description = "prefix=/x\n\nName: vpx\nVersion: 1.12.0\nRequires:\n";
        assert_eq!(version(description).as_deref(), Some("1.12.0"));
        assert_eq!(version("Name: vpx\n"), None);
    }
}
