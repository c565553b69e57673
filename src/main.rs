//! Arguments → run → exit code; nothing else.

use std::process::ExitCode;

use random_generator::cli;

fn main() -> ExitCode {
    cli::report_panics();
    cli::run(std::env::args_os()).into()
}
