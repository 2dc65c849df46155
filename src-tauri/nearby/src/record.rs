//! What one Tandem tells the others about itself: the name and the TXT record of a service.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use tandem_signaling::message::{clean_name, is_room_code};

/// The type of the service, with its domain.
pub(crate) const SERVICE: &str = "_tandem._tcp.local.";
/// The version of the TXT record. Records of another version are ignored.
const VERSION: &str = "1";

/// Stands for one Tandem as long as it is announced. Random each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeighbourId(u64);

impl From<u64> for NeighbourId {
    fn from(random: u64) -> Self {
        Self(random)
    }
}

impl fmt::Display for NeighbourId {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text is not the id of a Tandem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 16 hexadecimal digits")]
pub struct NotAnId;

impl FromStr for NeighbourId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_id.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(NotAnId)
    }
}

/// What this user announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// A random number.
    pub id: NeighbourId,
    /// The name that others see, if the user has one.
    pub name: Option<String>,
    /// The room in which this user is rung: see
    /// [`is_room_code`](tandem_signaling::message::is_room_code).
    pub room: String,
    /// The TCP port of this user's signaling server.
    pub port: u16,
}

impl Announcement {
    /// The TXT record. At most 255 bytes an entry: a name has at most 40 characters, which are at
    /// most 160 bytes.
    pub(crate) fn txt(&self) -> HashMap<String, String> {
        let mut txt = HashMap::from([
            ("v".to_owned(), VERSION.to_owned()),
            ("room".to_owned(), self.room.clone()),
        ]);
        if let Some(name) = &self.name {
            txt.insert("name".to_owned(), name.clone());
        }

        txt
    }

    /// The host's name in DNS. Not the computer's: that often is its owner's.
    pub(crate) fn host(&self) -> String {
        format!("tandem-{}.local.", self.id)
    }
}

/// What came from the network about a Tandem. Anyone on it can send anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The full name of the service, such as `1f3a5b7c9d2e4f60._tandem._tcp.local.`
    pub service: String,
    /// The entries of the TXT record that are text.
    pub txt: HashMap<String, String>,
    /// Where the service is said to listen.
    pub addresses: Vec<SocketAddr>,
}

impl Record {
    /// The id, name and room in it; `None` if it is not from a Tandem that this one understands.
    pub(crate) fn read(&self) -> Option<Announcement> {
        let id = id_of(&self.service)?;
        let room = self.txt.get("room").filter(|room| is_room_code(room))?;
        let port = self.addresses.first()?.port();

        (self.txt.get("v")? == VERSION && port != 0).then(|| Announcement {
            id,
            name: self.txt.get("name").and_then(|name| clean_name(name)),
            room: room.clone(),
            port,
        })
    }
}

/// The id in the full name of a service.
pub(crate) fn id_of(service: &str) -> Option<NeighbourId> {
    let (instance, kind) = service.split_once('.')?;
    // Names in DNS have no case.
    kind.eq_ignore_ascii_case(SERVICE)
        .then(|| instance.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "6f1d2c3b4a5968778695a4b3c2d1e0ff";

    fn record(txt: &[(&str, &str)]) -> Record {
        Record {
            service: format!("00000000000000aB.{SERVICE}"),
            txt: txt
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            addresses: vec!["192.168.7.2:40123".parse().unwrap()],
        }
    }

    #[test]
    fn what_is_announced_is_read_back() {
        let me = Announcement {
            id: NeighbourId::from(0xab),
            name: Some("Zoë 日本".into()),
            room: ROOM.into(),
            port: 40_123,
        };
        let heard = Record {
            txt: me.txt(),
            ..record(&[])
        };
        assert_eq!(heard.read(), Some(me));
    }

    #[test]
    fn an_entry_is_never_longer_than_dns_allows() {
        let me = Announcement {
            id: NeighbourId::from(1),
            name: Some("\u{10FFFF}".repeat(40)),
            room: "r".repeat(64),
            port: 1,
        };
        for (key, value) in me.txt() {
            assert!(key.len() + 1 + value.len() <= 255, "{key}={value}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_shown_is_left_out() {
        for (name, expected) in [
            ("Ann\u{7}", Some("Ann")),
            ("", None),
            (&*"x".repeat(41), None),
            (&*"x".repeat(10_000), None),
        ] {
            let heard = record(&[("v", "1"), ("room", ROOM), ("name", name)]);
            assert_eq!(heard.read().unwrap().name.as_deref(), expected);
        }
    }

    #[test]
    fn what_is_not_from_a_tandem_is_ignored() {
        let good = record(&[("v", "1"), ("room", ROOM)]);
        assert!(good.read().is_some());

        for service in [
            "",
            ".",
            "ann._tandem._tcp.local.",
            "00000000000000ab._http._tcp.local.",
            "0000000000000 ab._tandem._tcp.local.",
            "+000000000000001._tandem._tcp.local.",
        ] {
            let service = service.to_owned();
            assert_eq!(
                Record {
                    service,
                    ..good.clone()
                }
                .read(),
                None
            );
        }

        for txt in [
            &[][..],
            &[("v", "2"), ("room", ROOM)],
            &[("room", ROOM)],
            &[("v", "1")],
            &[("v", "1"), ("room", "../etc")],
        ] {
            assert_eq!(record(txt).read(), None, "{txt:?}");
        }

        assert_eq!(
            Record {
                addresses: Vec::new(),
                ..good.clone()
            }
            .read(),
            None
        );
        let addresses = vec!["192.168.7.2:0".parse().unwrap()];
        assert_eq!(Record { addresses, ..good }.read(), None);
    }
}
