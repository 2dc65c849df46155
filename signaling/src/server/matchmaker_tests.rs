//! The matchmaker: rules and promises.
