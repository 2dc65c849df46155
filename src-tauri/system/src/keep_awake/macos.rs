//! Power assertions of IOKit; `pmset -g assertions` shows them.

use objc2_core_foundation::CFString;
use objc2_io_kit::{
    IOPMAssertionCreateWithName, IOPMAssertionID, IOPMAssertionRelease, kIOPMAssertionLevelOn,
    kIOReturnSuccess,
};

use super::Means;
use crate::SystemError;

/// Names from `IOPMLib.h`: neither the screen nor the computer sleeps for want of input.
const TYPES: [&str; 2] = ["PreventUserIdleDisplaySleep", "PreventUserIdleSystemSleep"];

/// Assertions that end when dropped. The system ends them, too, when the process does.
#[derive(Debug)]
pub(super) struct Inhibition {
    assertions: Vec<IOPMAssertionID>,
}

impl Inhibition {
    pub(super) const MEANS: Means = Means::PowerAssertions;

    pub(super) fn start(app_name: &str, reason: &str) -> Result<Self, SystemError> {
        let name = CFString::from_str(&format!("{app_name}: {reason}"));
        let mut inhibition = Self {
            assertions: Vec::with_capacity(TYPES.len()),
        };

        for kind in TYPES {
            let kind = CFString::from_static_str(kind);
            let mut assertion: IOPMAssertionID = 0;
            // SAFETY: both strings and the place for the result live until the call returns.
            let result = unsafe {
                IOPMAssertionCreateWithName(
                    Some(&kind),
                    kIOPMAssertionLevelOn,
                    Some(&name),
                    &raw mut assertion,
                )
            };

            if result != kIOReturnSuccess {
                return Err(SystemError::Refused(
                    format!("IOReturn {result:#010x}").into(),
                ));
            }
            inhibition.assertions.push(assertion);
        }

        Ok(inhibition)
    }
}

impl Drop for Inhibition {
    fn drop(&mut self) {
        for &assertion in &self.assertions {
            IOPMAssertionRelease(assertion);
        }
    }
}
