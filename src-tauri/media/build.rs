//! Builds the one part that must be C: ALSA's error handler.

fn main() {
    println!("cargo::rerun-if-changed=src/audio/device/alsa_reports.c");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        cc::Build::new()
            .file("src/audio/device/alsa_reports.c")
            .warnings_into_errors(true)
            .compile("tandem_alsa_reports");
    }
}
