//! The ban list: addresses and users that the operator keeps out.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

/// A ban list. The file has one entry per line; empty lines and comments after `#` are ignored:
///
/// ```text
/// 192.0.2.7            # an address
/// 2001:db8:1::/48      # a range
/// user:alice           # clients whose bearer token has the `sub` alice
/// ```
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BanList {
    addresses: HashSet<IpAddr>,
    ranges: Vec<IpNet>,
    users: HashSet<String>,
}

impl BanList {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence with the name of the file and the cause, or the line that is not valid.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read the ban file {name}: {error}"))?;
        Self::parse(&text).map_err(|error| format!("in the ban file {name}, {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate() {
            let entry = line.split('#').next().unwrap_or_default().trim();
            if entry.is_empty() {
                continue;
            }

            if let Some(user) = entry
                .strip_prefix("user:")
                .map(str::trim)
                .filter(|user| !user.is_empty())
            {
                list.users.insert(user.to_owned());
            } else if let Ok(address) = entry.parse::<IpAddr>() {
                list.addresses.insert(address.to_canonical());
            } else if let Ok(range) = entry.parse::<IpNet>() {
                list.ranges.push(range);
            } else {
                let number = number + 1;
                return Err(format!(
                    "line {number} is not an address, a range like 192.0.2.0/24, or user:SUB"
                ));
            }
        }

        Ok(list)
    }

    /// Whether a client from this address, whose bearer token has this `sub`, is banned.
    pub(crate) fn contains(&self, address: IpAddr, user: Option<&str>) -> bool {
        let address = address.to_canonical();
        self.addresses.contains(&address)
            || self.ranges.iter().any(|range| range.contains(&address))
            || user.is_some_and(|user| self.users.contains(user))
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len() + self.ranges.len() + self.users.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ranges_and_users_can_be_banned() {
        let list = BanList::parse(
            "# all\n192.0.2.7 # one\n\n 2001:db8:1::/48\nuser:alice\n203.0.113.0/24\n",
        )
        .unwrap();
        let banned = |address: &str, user| list.contains(address.parse().unwrap(), user);
        assert!(
            banned("192.0.2.7", None) && banned("::ffff:192.0.2.7", None),
            "also when it comes mapped into IPv6"
        );
        assert!(!banned("192.0.2.8", None) && banned("203.0.113.200", None));
        assert!(banned("2001:db8:1:9::1", None) && !banned("2001:db8:2::1", None));
        assert!(
            banned("192.0.2.8", Some("alice")) && !banned("192.0.2.8", Some("Alice")),
            "the case of a `sub` matters"
        );
        assert_eq!(list.len(), 4);
    }

    #[test]
    fn a_line_that_is_not_an_entry_is_an_error() {
        for bad in ["alice", "user:", "192.0.2.0/33", "1.2.3"] {
            let error = BanList::parse(&format!("192.0.2.7\n{bad}\n")).expect_err(bad);
            assert!(error.contains("line 2"), "{bad}: {error}");
        }
    }
}
