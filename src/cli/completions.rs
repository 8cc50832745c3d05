//! `completions`: what a shell needs to complete our arguments.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, Code, Context};

/// Completions for a shell, printed to stdout.
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// It cannot be written.
pub fn run(verb: &Completions, context: &Context) -> anyhow::Result<Code> {
    let mut script = Vec::new();
    generate(
        verb.shell,
        &mut Arguments::command(),
        "llm-router",
        &mut script,
    );
    context.out.text(&String::from_utf8_lossy(&script))?;
    Ok(Code::Ok)
}
