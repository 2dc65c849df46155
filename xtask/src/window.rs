//! Chores that open the real window: its screenshots.

use anyhow::Result;

use crate::shell::{Shell, step};
use crate::{page, setup, workspace};

/// `cargo xtask screenshots`.
///
/// # Errors
/// When Tandem cannot be built, or its window cannot be opened or photographed.
pub(crate) fn screenshots() -> Result<()> {
    setup::build()?;
    setup::test()?;
    page::build_if_changed()?;
    step("Building Tandem and the photographer", || {
        Shell::cargo(["build", "--locked", "--workspace", "--all-features"])
            .args(["--bins", "--examples"])
            .run()
    })?;

    step("Taking screenshots", || {
        let folder = workspace::root().join("out/screens");
        Shell::new(
            workspace::binary("debug", "examples/screenshots")?,
            [folder],
        )
        .run()
    })
}
