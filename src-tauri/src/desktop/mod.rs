//! The window: a thin shell that shows the state of the app and takes commands.

pub mod command;
pub mod state;
