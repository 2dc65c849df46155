//! What Tauri needs at build time: the permissions of the page's commands, and a page to embed.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "desktop")]
    desktop::prepare();
}

#[cfg(feature = "desktop")]
mod desktop {
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    /// The page's commands: each gets a permission `allow-…`, and `capabilities/main.json` grants them.
    const COMMANDS: &[&str] = &[
        "get_state",
        "frame_socket",
        "find_partner",
        "call_with_code",
        "cancel",
        "hang_up",
        "next",
        "retry",
        "to_lobby",
        "set_muted",
        "set_camera_on",
        "set_camera",
        "set_microphone",
        "set_speaker",
        "set_name",
        "set_relay_url",
        "set_theme",
        "set_processing",
        "start_host",
        "stop_host",
        "test_speaker",
        "refresh_devices",
        "dismiss_problem",
    ];

    /// Shown by a build that was made without the page. `cargo xtask` never makes such a build.
    const NO_PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Tandem</title>\
        <p>This build has no page. Run <code>cargo xtask run</code>, which makes both.</p></html>";

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

    /// Lints, tests and headless builds from a clean clone need no Node: they embed one line of text instead.
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
        // For tauri-build below, and for the macro that embeds the page.
        println!("cargo:rustc-env=TAURI_CONFIG={config}");
        // SAFETY: a build script has one thread.
        unsafe { env::set_var("TAURI_CONFIG", &config) };
    }
}
