//! Why the desktop did not do what it was asked for.

/// What the system or one of its libraries said.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the desktop did not do what it was asked for. None of these ends a call.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// There is no message bus, or the connection to it broke. Linux only.
    #[error("no connection to the message bus")]
    NoBus(#[source] Cause),
    /// This desktop has no such service.
    #[error("this desktop has no such service")]
    NoService(#[source] Cause),
    /// The service, or the bus itself, did not answer in time.
    #[error("no answer in time")]
    NoAnswer,
    /// The service answered that it won't do it.
    #[error("the desktop refused")]
    Refused(#[source] Cause),
    /// The program does not run from an app bundle, and macOS shows notifications of bundles only.
    #[error("the program is not part of an app bundle")]
    NoBundle,
}

#[cfg(target_os = "linux")]
impl From<zbus::Error> for SystemError {
    fn from(error: zbus::Error) -> Self {
        use zbus::fdo;

        match &error {
            zbus::Error::FDO(refusal) => match **refusal {
                fdo::Error::ServiceUnknown(_)
                | fdo::Error::NameHasNoOwner(_)
                | fdo::Error::UnknownMethod(_)
                | fdo::Error::UnknownObject(_)
                | fdo::Error::UnknownInterface(_) => Self::NoService(error.into()),
                fdo::Error::NoReply(_) | fdo::Error::TimedOut(_) | fdo::Error::Timeout(_) => {
                    Self::NoAnswer
                }
                fdo::Error::Disconnected(_) => Self::NoBus(error.into()),
                _ => Self::Refused(error.into()),
            },
            zbus::Error::InputOutput(_)
            | zbus::Error::Connection(..)
            | zbus::Error::Address(_)
            | zbus::Error::Handshake(_) => Self::NoBus(error.into()),
            _ => Self::Refused(error.into()),
        }
    }
}

#[cfg(windows)]
impl From<windows::core::Error> for SystemError {
    fn from(error: windows::core::Error) -> Self {
        Self::Refused(error.into())
    }
}
