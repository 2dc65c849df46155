//! A power request. Unlike `SetThreadExecutionState`, it belongs to a handle and not to the thread
//! that made it, and `powercfg /requests` shows its reason.

use std::os::windows::io::{FromRawHandle, OwnedHandle};

use windows::Win32::Foundation::HANDLE;
use windows::Win32::System::Power::{
    PowerCreateRequest, PowerRequestDisplayRequired, PowerRequestSystemRequired, PowerSetRequest,
};
use windows::Win32::System::SystemServices::POWER_REQUEST_CONTEXT_VERSION;
use windows::Win32::System::Threading::{
    POWER_REQUEST_CONTEXT_SIMPLE_STRING, REASON_CONTEXT, REASON_CONTEXT_0,
};
use windows::core::PWSTR;

use super::Means;
use crate::SystemError;

/// The request ends when its handle closes.
#[derive(Debug)]
pub(super) struct Inhibition {
    _request: OwnedHandle,
}

impl Inhibition {
    pub(super) const MEANS: Means = Means::PowerRequest;

    pub(super) fn start(app_name: &str, reason: &str) -> Result<Self, SystemError> {
        let reason = format!("{app_name}: {reason}");
        let mut reason: Vec<u16> = reason.encode_utf16().filter(|&unit| unit != 0).collect();
        reason.push(0);

        let context = REASON_CONTEXT {
            Version: POWER_REQUEST_CONTEXT_VERSION,
            Flags: POWER_REQUEST_CONTEXT_SIMPLE_STRING,
            Reason: REASON_CONTEXT_0 {
                SimpleReasonString: PWSTR(reason.as_mut_ptr()),
            },
        };

        // SAFETY: `context` and the string in it, which ends with NUL, live until the call returns.
        // Windows copies both.
        let request = unsafe { PowerCreateRequest(&raw const context) }?;
        // SAFETY: the call above succeeded, so this is an open handle, and nobody else owns it.
        let owner = unsafe { OwnedHandle::from_raw_handle(request.0) };

        set(request)?;
        Ok(Self { _request: owner })
    }
}

/// Neither screen nor computer sleep while `request` is open.
fn set(request: HANDLE) -> Result<(), SystemError> {
    for kind in [PowerRequestDisplayRequired, PowerRequestSystemRequired] {
        // SAFETY: the caller owns the open handle.
        unsafe { PowerSetRequest(request, kind) }?;
    }
    Ok(())
}
