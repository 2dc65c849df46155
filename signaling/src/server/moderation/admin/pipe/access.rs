//! Who may open the pipe: its security descriptor.

use std::io;
use std::mem::size_of;
use std::path::Path;
use std::ptr;

use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES};
use windows_sys::core::{PCWSTR, w};

/// Everything (`GA`) for the owner (`OW`: the user who runs the server, or the administrators if it runs
/// elevated), the administrators (`BA`) and the system (`SY`), and nothing for anyone else: the list is
/// complete (`P`). In Windows' security descriptor definition language.
const OPERATORS: PCWSTR = w!("D:P(A;;GA;;;OW)(A;;GA;;;BA)(A;;GA;;;SY)");

/// A security descriptor.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    fn of_operators() -> io::Result<Self> {
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with a zero, `descriptor` can be written, and the size is not asked for.
        let is_made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                OPERATORS,
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        if is_made == 0 {
            return Err(io::Error::last_os_error());
        }

        Ok(Self(descriptor))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the system has allocated it for `of_operators`, and nobody else has it.
        unsafe { LocalFree(self.0) };
    }
}

/// Creates an instance of the pipe `name` that only operators can open.
pub(super) fn create(options: &ServerOptions, name: &Path) -> io::Result<NamedPipeServer> {
    let descriptor = Descriptor::of_operators()?;
    let mut attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    // SAFETY: the attributes and what they point to live until the call has returned.
    unsafe { options.create_with_security_attributes_raw(name, (&raw mut attributes).cast()) }
}
