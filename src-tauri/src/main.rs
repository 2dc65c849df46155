//! The `tandem` binary. The program is in the library; see `tandem --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tandem::cli::main()
}
