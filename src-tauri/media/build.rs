//! Compiles the one part that must be C: the error handler for ALSA, on Linux only.

fn main() {
    println!("cargo::rerun-if-changed=src/audio/device/alsa_reports.c");

    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        cc::Build::new()
            .file("src/audio/device/alsa_reports.c")
            .warnings_into_errors(true)
            .compile("tandem_alsa_reports");
    }
}
