//! Sound: devices, files, processing, Opus and playout.
