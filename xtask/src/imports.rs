//! Which DLLs programs for Windows import: an installed program may need those of the system and
//! those beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::FileKind;
use object::LittleEndian as LE;
use object::pe::{ImageNtHeaders32, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders, PeFile};

/// DLLs of Windows 10 and later that programs import, in lower case. Microsoft's C++ runtime
/// (`vcruntime140.dll`, `msvcp140.dll`) is not among them: it comes with other programs.
const SYSTEM: &[&str] = &[
    "advapi32.dll",
    "avrt.dll",
    "bcrypt.dll",
    "bcryptprimitives.dll",
    "cfgmgr32.dll",
    "combase.dll",
    "comctl32.dll",
    "comdlg32.dll",
    "crypt32.dll",
    "d2d1.dll",
    "d3d11.dll",
    "dcomp.dll",
    "dwmapi.dll",
    "dwrite.dll",
    "dxgi.dll",
    "gdi32.dll",
    "imm32.dll",
    "iphlpapi.dll",
    "kernel32.dll",
    "mf.dll",
    "mfplat.dll",
    "mfreadwrite.dll",
    "mmdevapi.dll",
    "msvcrt.dll",
    "ncrypt.dll",
    "netapi32.dll",
    "ntdll.dll",
    "ole32.dll",
    "oleacc.dll",
    "oleaut32.dll",
    "powrprof.dll",
    "propsys.dll",
    "psapi.dll",
    "rpcrt4.dll",
    "runtimeobject.dll",
    "secur32.dll",
    "setupapi.dll",
    "shcore.dll",
    "shell32.dll",
    "shlwapi.dll",
    "ucrtbase.dll",
    "uiautomationcore.dll",
    "user32.dll",
    "userenv.dll",
    "uxtheme.dll",
    "version.dll",
    "winhttp.dll",
    "winmm.dll",
    "ws2_32.dll",
];

/// The system's API sets, which Windows resolves to DLLs of its own.
const API_SETS: [&str; 2] = ["api-ms-win-", "ext-ms-win-"];

/// Checks that programs and DLLs that lie in one folder import from the system and each other only.
///
/// # Errors
/// When one of them cannot be read, or imports something else. The message names it.
pub(crate) fn check<P: AsRef<Path>>(files: &[P]) -> Result<()> {
    let beside: BTreeSet<String> = files
        .iter()
        .filter_map(|file| Some(file.as_ref().file_name()?.to_string_lossy().to_lowercase()))
        .collect();

    for file in files {
        let file = file.as_ref();
        let data = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let names = imports(&data).with_context(|| format!("in {}", file.display()))?;
        let foreign = foreign(names, &beside);

        if !foreign.is_empty() {
            bail!(
                "{} needs what not every Windows has: {}",
                file.display(),
                foreign.join(", ")
            );
        }
    }

    Ok(())
}

/// Those of the imported DLLs that neither the system has nor the folder.
fn foreign(imports: BTreeSet<String>, beside: &BTreeSet<String>) -> Vec<String> {
    imports
        .into_iter()
        .filter(|name| {
            let is_api_set = API_SETS.iter().any(|prefix| name.starts_with(prefix));
            !is_api_set && !SYSTEM.contains(&name.as_str()) && !beside.contains(name)
        })
        .collect()
}

/// The names of the DLLs that a program or DLL imports, also those it loads at their first use. In
/// lower case.
fn imports(data: &[u8]) -> Result<BTreeSet<String>> {
    match FileKind::parse(data).context("it is no program")? {
        FileKind::Pe32 => of_width::<ImageNtHeaders32>(data),
        FileKind::Pe64 => of_width::<ImageNtHeaders64>(data),
        kind => bail!("it is no program for Windows, but {kind:?}"),
    }
}

fn of_width<Headers: ImageNtHeaders>(data: &[u8]) -> Result<BTreeSet<String>> {
    let file = PeFile::<Headers>::parse(data)?;
    let mut names = BTreeSet::new();
    let mut add = |name: &[u8]| names.insert(String::from_utf8_lossy(name).to_lowercase());

    if let Some(table) = file.import_table()? {
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            add(table.name(descriptor.name.get(LE))?);
        }
    }

    let directories = file.data_directories();
    if let Some(table) = directories.delay_load_import_table(data, &file.section_table())? {
        let mut descriptors = table.descriptors()?;
        while let Some(descriptor) = descriptors.next()? {
            add(table.name(descriptor.dll_name_rva.get(LE))?);
        }
    }

    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_neither_the_system_has_nor_the_folder_is_foreign() {
        let imports = names(&[
            "api-ms-win-core-synch-l1-2-0.dll",
            "kernel32.dll",
            "libssp-0.dll",
            "vcruntime140.dll",
            "webview2loader.dll",
        ]);

        assert_eq!(
            foreign(imports.clone(), &names(&["webview2loader.dll"])),
            ["libssp-0.dll", "vcruntime140.dll"],
            "the compilers' own libraries come with no Windows"
        );
        assert!(
            foreign(imports, &names(&[])).contains(&String::from("webview2loader.dll")),
            "what is not beside the program is missing"
        );
    }

    #[test]
    fn the_list_of_system_dlls_is_in_lower_case_and_in_order() {
        let mut sorted = SYSTEM.to_vec();
        sorted.sort_unstable();
        assert_eq!(SYSTEM, sorted, "names are compared in lower case");
        assert!(SYSTEM.iter().all(|name| *name == name.to_lowercase()));
    }

    #[test]
    fn a_file_that_is_no_program_for_windows_is_refused() {
        for bytes in [&b"MZ"[..], b"", b"\x7fELF\x02\x01\x01", &[0; 4096]] {
            assert!(imports(bytes).is_err(), "{bytes:?} has no imports to read");
        }
    }
}
