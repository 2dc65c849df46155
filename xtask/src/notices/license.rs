//! Which licenses `deny.toml` allows, and whether a crate's license expression can be met with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace;

/// The licenses that Tandem may use, as `cargo deny` reads them.
#[derive(Debug, Default)]
pub(super) struct Policy {
    everywhere: BTreeSet<String>,
    for_crate: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

impl Policy {
    /// Reads `deny.toml`.
    ///
    /// # Errors
    /// When it cannot be read or has another form.
    pub(super) fn read() -> Result<Self> {
        let path = workspace::root().join("deny.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let deny: Deny = toml::from_str(text).context("deny.toml has another form")?;
        let mut for_crate: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for exception in deny.licenses.exceptions {
            for_crate
                .entry(exception.name)
                .or_default()
                .extend(exception.allow);
        }

        Ok(Self {
            everywhere: deny.licenses.allow,
            for_crate,
        })
    }

    /// Whether a crate may be linked: whether its expression is true if exactly the allowed licenses are.
    pub(super) fn permits(&self, name: &str, expression: &str) -> bool {
        let extra = self.for_crate.get(name);
        let is_allowed = |license: &str| {
            self.everywhere.contains(license) || extra.is_some_and(|extra| extra.contains(license))
        };
        Expression::new(expression).met(&is_allowed)
    }
}

/// An SPDX license expression (SPDX specification 2.3, annex D), or the older form with a slash.
struct Expression {
    /// In reverse, so that the next one is the last.
    tokens: Vec<String>,
}

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let tokens = spaced.split_whitespace().rev().map(String::from);
        Self {
            tokens: tokens.collect(),
        }
    }

    /// Whether it is true if exactly the licenses are for which `is_allowed`. What cannot be read is not.
    fn met(mut self, is_allowed: &impl Fn(&str) -> bool) -> bool {
        let met = self.any(is_allowed);
        met == Some(true) && self.tokens.is_empty()
    }

    fn next_is(&mut self, word: &str) -> bool {
        let is = self.tokens.last().is_some_and(|token| token == word);
        if is {
            self.tokens.pop();
        }
        is
    }

    fn any(&mut self, is_allowed: &impl Fn(&str) -> bool) -> Option<bool> {
        let mut met = self.all(is_allowed)?;
        while self.next_is("OR") {
            met |= self.all(is_allowed)?;
        }
        Some(met)
    }

    fn all(&mut self, is_allowed: &impl Fn(&str) -> bool) -> Option<bool> {
        let mut met = self.one(is_allowed)?;
        while self.next_is("AND") {
            met &= self.one(is_allowed)?;
        }
        Some(met)
    }

    fn one(&mut self, is_allowed: &impl Fn(&str) -> bool) -> Option<bool> {
        let token = self.tokens.pop()?;
        if token == "(" {
            let met = self.any(is_allowed)?;
            return self.next_is(")").then_some(met);
        }

        if ["OR", "AND", "WITH", ")"].contains(&token.as_str()) {
            return None;
        }

        if self.next_is("WITH") {
            let exception = self.tokens.pop()?;
            return Some(is_allowed(&format!("{token} WITH {exception}")));
        }
        Some(is_allowed(&token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
        [licenses]
        allow = ["Apache-2.0", "MIT"]
        exceptions = [{ crate = "selectors", allow = ["MPL-2.0"] }]
    "#;

    #[test]
    fn an_expression_is_met_by_the_allowed_licenses_only() {
        let policy = Policy::parse(DENY).expect("it has deny.toml's form");
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("MIT AND (GPL-3.0 OR ISC)", false),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("MPL-2.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT MIT", false),
            (")", false),
        ] {
            assert_eq!(policy.permits("x", expression), expected, "{expression:?}");
        }

        assert!(
            policy.permits("selectors", "MPL-2.0"),
            "an exception holds for its crate"
        );
    }

    #[test]
    fn our_own_deny_toml_can_be_read() {
        let policy = Policy::read().expect("it has the form that we read");
        assert!(policy.permits("anything", "MIT OR Apache-2.0"));
        assert!(!policy.permits("anything", "GPL-3.0-only"));
    }
}
