//! src-tauri/call
