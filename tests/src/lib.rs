//! What the whole-system tests stand on: real programs, devices and browsers, each started for one test and gone with it.
