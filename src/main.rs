//! Arguments → a command.

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_router::cli::main()
}
