//! `serve`: run a node in the foreground.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Code, Context};
use crate::app::{self, ServeOptions};
use crate::config::detect::{Found, detect};
use crate::config::node::LogFormat;
use crate::config::{Flags, load};

/// Run a node in the foreground. Needs no configuration: without one it offers what it finds on
/// this machine and its built-in demo models.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Configuration file, YAML or JSON; changes are followed [env: LLM_ROUTER_CONFIG].
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where state is kept [env: LLM_ROUTER_DATA].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// This node's name, where one file serves several nodes [env: LLM_ROUTER_NODE].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Directory with ca.pem and this node's NAME.pem and NAME.key, as `certs create` fills it
    /// [env: LLM_ROUTER_CERTS].
    #[arg(long, value_name = "DIR")]
    pub certs: Option<PathBuf>,
    /// HTTP address, host:port; port 0 picks a free one [env: LLM_ROUTER_HTTP].
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// gRPC address, host:port; port 0 picks a free one [env: LLM_ROUTER_GRPC].
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<String>,
    /// Address for other nodes, host:port; port 0 picks a free one [env: LLM_ROUTER_CLUSTER].
    #[arg(long, value_name = "ADDR")]
    pub cluster: Option<String>,
    /// Nodes to join, tried in turn; a node that is a member already ignores it [env: LLM_ROUTER_JOIN].
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub join: Vec<String>,
    /// Where other nodes reach this one, when it is not the bound address [env: LLM_ROUTER_ADVERTISE].
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,
    /// Fail points, read again at each of them: for tests of the whole program.
    #[arg(long, value_name = "FILE", hide = true)]
    pub faults: Option<PathBuf>,
    /// Write the addresses as JSON to this file once the doors are open.
    #[arg(long, value_name = "FILE")]
    pub addr_file: Option<PathBuf>,
    /// Serve beyond this machine although the node has no keys to ask for.
    #[arg(long)]
    pub insecure_no_auth: bool,
    /// Log format [env: LLM_ROUTER_LOG].
    #[arg(long, value_enum)]
    pub log: Option<LogFormat>,
}

impl Serve {
    /// What the flags say about the configuration.
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            data: self.data.clone(),
            node: self.node.clone(),
            certs: self.certs.clone(),
            http: self.http.clone(),
            grpc: self.grpc.clone(),
            cluster: self.cluster.clone(),
            join: self.join.clone(),
            advertise: self.advertise.clone(),
            log: self.log,
        }
    }
}

/// Loads, looks around where nothing is declared, and runs the node.
///
/// # Errors
/// [`crate::config::Problems`], or why the node could not start.
pub async fn run(verb: Serve, context: &Context) -> anyhow::Result<Code> {
    let loaded = load(&verb.flags(), &context.env)?;
    for warning in &loaded.warnings {
        context.out.note(&format!("warning: {warning}"))?;
    }
    let undeclared = loaded.routing.models.is_empty();
    let found = if undeclared {
        detect(&context.env).await
    } else {
        Found::default()
    };
    // a banner nobody reads is no reason to stop
    let out = context.out.clone();
    let say = Arc::new(move |text: &str| drop(out.line(text)));
    let out = context.out.clone();
    let complain = Arc::new(move |text: &str| drop(out.note(text)));
    let options = ServeOptions {
        loaded,
        found,
        addr_file: verb.addr_file,
        watch: true,
        insecure_no_auth: verb.insecure_no_auth,
        faults: verb.faults,
        say,
        complain,
    };
    match app::serve(options).await? {
        0 => Ok(Code::Ok),
        code => Ok(Code::Node(code)),
    }
}
