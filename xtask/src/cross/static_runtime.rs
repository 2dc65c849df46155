//! The runtime libraries of mingw's compilers, linked statically.
//!
//! openh264 needs libstdc++ and libssp, and rustc asks for their DLLs, which no Windows has. The
//! linker takes a library from the first folder that has it in any form, so a folder with nothing
//! but the static ones comes first.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{MINGW, scripts_folder, write_script};
use crate::shell::Shell;

/// The libraries whose DLLs programs would need. winpthreads belongs to compilers with POSIX threads only.
const LIBRARIES: [&str; 3] = ["libstdc++.a", "libssp.a", "libwinpthread.a"];

/// The script's name. rustc infers from it which options the linker takes: one named `link` would get those of
/// `ld`. And from one that ends with `-gcc`, the `cc` crate infers where the C++ compiler is.
const SCRIPT: &str = "gcc";

/// The variable in which cargo reads the linker for `super::WINDOWS`.
const VARIABLE: &str = "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER";

/// The environment in which cargo links for Windows without the compiler's DLLs.
///
/// # Errors
/// When the compiler has no static libraries.
pub(super) fn variables() -> Result<(&'static str, PathBuf)> {
    let folder = scripts_folder("static")?;
    for name in LIBRARIES {
        let found = Shell::new(MINGW[1], [format!("-print-file-name={name}")]).output()?;
        let found = Path::new(found.trim());
        if found.is_absolute() {
            fs::copy(found, folder.join(name))
                .with_context(|| format!("cannot copy {}", found.display()))?;
        } else if name != "libwinpthread.a" {
            // A compiler that does not find a file answers with its name alone.
            bail!("{} has no {name}", MINGW[1]);
        }
    }

    let script = folder.join(SCRIPT);
    write_script(&script, &link_script(MINGW[0], &folder))?;
    Ok((VARIABLE, script))
}

fn link_script(linker: &str, folder: &Path) -> String {
    include_str!("link.sh")
        .replace("@LINKER@", linker)
        .replace("@STATIC@", &folder.display().to_string())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_static_libraries_come_before_all_other_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join(SCRIPT);
        let text = link_script("echo", Path::new("/static libraries"));
        write_script(&script, &text).expect("the script is written");

        let line = Shell::new(&script, ["-L", "/other", "-lstdc++"]).output();
        let line = line.expect("the script runs");
        assert!(
            line.starts_with("-L /static libraries -L /other -lstdc++ "),
            "the linker takes the first folder that has a library: {line}"
        );
    }
}
