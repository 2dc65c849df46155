//! A D-Bus message bus of a test's own, and stand-ins for a desktop's services on it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{Process, tool, wait_until};

/// How long a program may take to start on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The system's Python, for which distributions package python-dbusmock.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// Settings of a bus on which everything is allowed and nothing is started on demand: the services
/// of the machine that runs the tests stay out.
const SETTINGS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir=@FOLDER@</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// Teaches a stand-in its methods. The arguments are the bus, the service's name, path and interface,
/// and the methods in JSON.
const TEACH: &str = r"
import sys, json, dbus, dbus.bus
_, bus, name, path, interface, methods = sys.argv
service = dbus.bus.BusConnection(bus).get_object(name, path)
service.AddMethods(interface, [tuple(method) for method in json.loads(methods)],
    dbus_interface='org.freedesktop.DBus.Mock')
";

/// A private message bus. It can stand for a session bus or for the system bus. Dropping it ends
/// it, and with it the connections of its services.
pub struct MessageBus {
    _daemon: Process,
    address: String,
    _folder: TempDir,
}

impl MessageBus {
    /// Starts `dbus-daemon` and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the message bus")?;
        let settings = folder.path().join("bus.conf");
        let text = SETTINGS.replace("@FOLDER@", &folder.path().display().to_string());
        fs::write(&settings, text).context("cannot write the bus' settings")?;

        let mut command = Command::new("dbus-daemon");
        command
            .args(["--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--config-file={}", settings.display()));
        let daemon = Process::start(command)?;
        let address = daemon
            .wait_for_line(START_TIMEOUT, |line| Some(line.trim().to_owned()))
            .context("dbus-daemon does not start")?;

        Ok(Self {
            _daemon: daemon,
            address,
            _folder: folder,
        })
    }

    /// In D-Bus' own notation, as in `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts python-dbusmock on this bus with these arguments, such as `NAME PATH INTERFACE`, or
    /// `--template NAME --session`. It has its name some time later. Tests talk to it through its
    /// interface `org.freedesktop.DBus.Mock`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_mock(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(PYTHON);
        command
            .args(["-m", "dbusmock"])
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        Process::start(command)
    }

    /// Starts a stand-in for a service and waits until it answers. `service`: name, path and
    /// interface. `methods`: name, signature of the arguments, signature of the result, and what it
    /// does, in Python. Its output has a line for each call.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_service(&self, service: [&str; 3], methods: &[[&str; 4]]) -> Result<Process> {
        let process = self.start_mock(&service)?;
        let methods = serde_json::to_string(methods)?;
        let [name, path, interface] = service;
        wait_until(name, START_TIMEOUT, || {
            let arguments = ["-c", TEACH, &self.address, name, path, interface, &methods];
            tool(PYTHON, arguments).ok().map(drop)
        })?;

        Ok(process)
    }

    /// Waits until a service has this name.
    ///
    /// # Errors
    /// When it does not appear.
    pub fn wait_for_name(&self, name: &str) -> Result<()> {
        let ask = "import sys, dbus, dbus.bus
assert dbus.bus.BusConnection(sys.argv[1]).name_has_owner(sys.argv[2])";
        wait_until(name, START_TIMEOUT, || {
            tool(PYTHON, ["-c", ask, &self.address, name])
                .ok()
                .map(drop)
        })
    }
}
