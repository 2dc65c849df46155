//! Lip sync.
