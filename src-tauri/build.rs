//! What Tauri needs at build time: permissions for the page's calls, and a page to embed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "desktop")]
    desktop::prepare();
}

#[cfg(feature = "desktop")]
mod desktop {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// What the page may call. Each name gets a permission `allow-…`, which
    /// `capabilities/main.json` grants. A new command of the page is a variant of `Command` behind
    /// `run`, not a name here.
    const COMMANDS: &[&str] = &["get_state", "frame_socket", "run"];

    /// The page of a build without `ui/dist`. `cargo xtask` never makes such a build.
    const NO_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tandem</title>\
        <p>This build has no page. Run <code>cargo xtask run</code>, which builds both.</p></html>";

    pub(super) fn prepare() {
        let page = Path::new("../ui/dist");
        println!("cargo:rerun-if-changed={}", page.display());
        println!("cargo:rerun-if-changed=capabilities");

        if !page.join("index.html").exists() {
            without_page();
        }

        let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
        let attributes = tauri_build::Attributes::new().app_manifest(manifest);

        if let Err(error) = tauri_build::try_build(attributes) {
            println!("cargo:warning={error:#}");
            std::process::exit(1);
        }
    }

    /// Embeds one line of text instead, so that lints, tests and headless builds from a clean clone
    /// need no Node.
    fn without_page() {
        let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("no-page");
        fs::create_dir_all(&folder).expect("the build's own folder can be written");
        fs::write(folder.join("index.html"), NO_PAGE)
            .expect("the build's own folder can be written");
        println!(
            "cargo:warning=ui/dist is missing: the window will show no page (cargo xtask run builds it)"
        );
        let path = folder.to_str().expect("a path in UTF-8").replace('\\', "/");
        let config = format!("{{\"build\":{{\"frontendDist\":\"{path}\"}}}}");
        // Both tauri-build and the macro that embeds the page read it.
        println!("cargo:rustc-env=TAURI_CONFIG={config}");
        // SAFETY: a build script has one thread.
        unsafe { env::set_var("TAURI_CONFIG", &config) };
    }
}
