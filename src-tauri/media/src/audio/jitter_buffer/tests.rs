//! Whole streams through simulated networks.
