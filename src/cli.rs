//! The command line: one file per verb, one place that writes.
//!
//! Exit codes: 0 in order, 1 problems found, 2 wrong usage, 3 the node cannot be reached.

mod arguments;
pub mod cache;
pub mod certs;
pub mod chat;
pub mod client;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod embed;
mod evaluate;
pub mod healthcheck;
pub mod init;
pub mod keys;
pub mod model;
pub mod models;
pub mod output;
pub mod routes;
pub mod serve;
pub mod templates;
pub mod validate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

pub use arguments::{Arguments, Verb};

use crate::config::env::Environment;
use client::{Client, Failed};
use output::{Format, Out};

/// How long the runtime may take to let go of blocking work at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// In order.
    Ok,
    /// Problems were found.
    Problems,
    /// Wrong usage.
    Usage,
    /// The node cannot be reached.
    Unreachable,
    /// What a node that ended by itself says.
    Node(u8),
}

impl From<Code> for u8 {
    fn from(code: Code) -> u8 {
        match code {
            Code::Ok => 0,
            Code::Problems => 1,
            Code::Usage => 2,
            Code::Unreachable => 3,
            Code::Node(code) => code,
        }
    }
}

/// What every verb is given beside its own arguments.
#[derive(Clone, Debug)]
pub struct Context {
    /// What the environment says.
    pub env: Environment,
    /// Where to write, and how.
    pub out: Out,
    /// `--addr`.
    pub addr: Option<String>,
    /// `--key-file`.
    pub key_file: Option<PathBuf>,
}

impl Context {
    /// A client of the node that `--addr` or the environment names, with the key that `--key-file`
    /// or the environment holds.
    ///
    /// # Errors
    /// The address is none, or the file cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        let client = Client::new(&client::address(self.addr.as_deref(), &self.env))?;
        let key = match &self.key_file {
            Some(file) => Some(client::key_in(file)?),
            None => self.env.key.clone(),
        };
        Ok(client.with_key(key))
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            // Nothing is left to do when even this line cannot be written.
            let _ = Out::stdio(Format::Table).note(&format!("error: no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(std::env::args_os(), Environment::read(), Out::stdio));
    runtime.shutdown_timeout(FAREWELL);
    ExitCode::from(u8::from(code))
}

/// Runs one command line. `out` makes the place to write in the format asked for.
pub async fn run<I, A>(arguments: I, env: Environment, out: impl Fn(Format) -> Out) -> Code
where
    I: IntoIterator<Item = A>,
    A: Into<OsString> + Clone,
{
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(refusal) => return usage(&refusal, &out(Format::Table)),
    };
    let out = out(arguments.output);
    let context = Context {
        env,
        out: out.clone(),
        addr: arguments.addr,
        key_file: arguments.key_file,
    };
    let result = match arguments.verb {
        Some(verb) => Box::pin(dispatch(verb, &context)).await,
        None => out
            .text(arguments::SHORT_HELP)
            .map(|()| Code::Ok)
            .map_err(Into::into),
    };
    result.unwrap_or_else(|error| explain(&error, &out))
}

async fn dispatch(verb: Verb, context: &Context) -> anyhow::Result<Code> {
    match verb {
        Verb::Serve(verb) => serve::run(verb, context).await,
        Verb::Init(verb) => init::run(&verb, context),
        Verb::Templates(verb) => templates::run(&verb, context),
        Verb::Validate(verb) => validate::run(&verb, context),
        Verb::Config(verb) => config::run(verb, context).await,
        Verb::Chat(verb) => chat::run(verb, context).await,
        Verb::Embed(verb) => embed::run(verb, context).await,
        Verb::Models => models::run(context).await,
        Verb::Model(verb) => model::run(verb, context).await,
        Verb::Routes(verb) => routes::run(verb, context).await,
        Verb::Keys(verb) => keys::run(verb, context).await,
        Verb::Cluster(verb) => cluster::run(verb, context).await,
        Verb::Certs(verb) => certs::run(&verb, context),
        Verb::Cache(verb) => cache::run(verb, context).await,
        Verb::Doctor(verb) => doctor::run(&verb, context).await,
        Verb::Healthcheck => healthcheck::run(context).await,
        Verb::Completions(verb) => completions::run(&verb, context),
    }
}

/// Help goes to stdout and is no failure; a refusal goes to stderr.
fn usage(refusal: &clap::Error, out: &Out) -> Code {
    let text = refusal.render().to_string();
    if refusal.use_stderr() {
        // A reader that went away changes nothing about the exit code.
        let _ = out.note(text.trim_end());
        return Code::Usage;
    }
    let _ = out.text(&text);
    Code::Ok
}

/// Prints why a command failed, once, with its causes.
fn explain(error: &anyhow::Error, out: &Out) -> Code {
    let gone = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(gone) && error.downcast_ref::<Failed>().is_none() {
        return Code::Ok; // `… | head` has seen enough
    }
    // A reader that went away changes nothing about the exit code.
    let _ = match error.downcast_ref::<crate::config::Problems>() {
        Some(problems) => out.note(&problems.to_string()),
        None => out.note(&format!("error: {error:#}")),
    };
    match error.downcast_ref::<Failed>() {
        Some(Failed::Unreachable { .. }) => Code::Unreachable,
        Some(Failed::Refused { .. } | Failed::Broken(_)) | None => Code::Problems,
    }
}

#[cfg(test)]
mod tests;
