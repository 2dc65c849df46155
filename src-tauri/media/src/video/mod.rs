//! Where pictures come from and where they go.
