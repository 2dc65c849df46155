//! What Tauri's tool reads from the environment to sign for macOS.
//!
//! A workflow passes on secrets that nobody has set as empty variables, and the tool takes each
//! variable that exists for a certificate or an account. So empty ones are left out. Without a
//! certificate the app is signed for nobody ("ad hoc"): Apple's processors run no program without
//! any signature.

/// The variables of the tool. The first two sign, the others have Apple check the app.
const VARIABLES: [&str; 9] = [
    "APPLE_CERTIFICATE",
    IDENTITY,
    "APPLE_CERTIFICATE_PASSWORD",
    "APPLE_ID",
    "APPLE_PASSWORD",
    "APPLE_TEAM_ID",
    "APPLE_API_ISSUER",
    "APPLE_API_KEY",
    "APPLE_API_KEY_PATH",
];

const IDENTITY: &str = "APPLE_SIGNING_IDENTITY";

/// The identity that signs for nobody.
const AD_HOC: &str = "-";

/// What to change in the environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) remove: Vec<&'static str>,
    pub(super) set: Option<(&'static str, &'static str)>,
}

/// The changes for an environment, whose variables `value` returns.
pub(super) fn changes(value: impl Fn(&str) -> Option<String>) -> Changes {
    let is_set = |name: &&str| value(name).is_some_and(|value| !value.is_empty());
    let signs = VARIABLES[..2].iter().any(is_set);
    let is_empty = |name: &&str| value(name).is_some_and(|value| value.is_empty());

    Changes {
        remove: VARIABLES.into_iter().filter(is_empty).collect(),
        set: (!signs).then_some((IDENTITY, AD_HOC)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Changes {
        changes(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn secrets_that_nobody_has_set_are_left_out() {
        let empty: Vec<(&str, &str)> = VARIABLES.iter().map(|name| (*name, "")).collect();
        let changes = with(&empty);
        assert_eq!(
            changes.remove, VARIABLES,
            "an empty certificate cannot be imported"
        );
        assert_eq!(
            changes.set,
            Some((IDENTITY, AD_HOC)),
            "and the app is signed for nobody"
        );
        assert_eq!(
            with(&[]).set,
            Some((IDENTITY, AD_HOC)),
            "as where there are none"
        );
    }

    #[test]
    fn a_certificate_is_used() {
        for name in &VARIABLES[..2] {
            let changes = with(&[(*name, "x"), ("APPLE_ID", "")]);
            assert_eq!(changes.set, None, "{name} decides who signs");
            assert_eq!(
                changes.remove,
                ["APPLE_ID"],
                "no account, so Apple is not asked"
            );
        }
    }
}
