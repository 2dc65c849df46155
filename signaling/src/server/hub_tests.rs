//! The hub: every rule of the protocol, and random walks.
