//! `cluster join`: run a node in the foreground that joins others.

use clap::Args;

use crate::cli::{Code, Context, serve};

/// Run a node in the foreground that joins others.
#[derive(Clone, Debug, Args)]
pub struct Join {
    /// Node-to-node addresses of members, host:port with commas between, tried in turn.
    #[arg(value_name = "ADDR,…", value_delimiter = ',', required = true)]
    pub members: Vec<String>,
    /// Everything else, as for `serve`.
    #[command(flatten)]
    pub serve: serve::Serve,
}

/// As `serve`, with these members to join.
///
/// # Errors
/// As `serve`.
pub(super) async fn run(verb: Join, context: &Context) -> anyhow::Result<Code> {
    let mut serve = verb.serve;
    serve.join.splice(0..0, verb.members);
    Box::pin(serve::run(serve, context)).await
}
