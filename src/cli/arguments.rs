//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::output::Format;
use super::{
    cache, certs, chat, cluster, completions, config, doctor, embed, init, keys, model, routes,
    serve, templates, validate,
};

/// What a bare `llm-router` prints.
pub(super) const SHORT_HELP: &str = "\
llm-router serve                    start a node on http://127.0.0.1:8080; needs no configuration
llm-router init --template demo     write a commented configuration (llm-router templates lists more)
llm-router validate                 check it
llm-router chat \"hello\"             ask the running node
llm-router routes explain \"hello\"   which rule, which models, and why
llm-router cluster status           which nodes belong together, and who leads
llm-router doctor                   what is wrong on this machine
llm-router --help                   everything else
";

/// A router between applications and LLM providers.
#[derive(Debug, Parser)]
#[command(name = "llm-router", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 in order, 1 problems found, 2 wrong usage, 3 node unreachable."
)]
pub struct Arguments {
    /// How to print results.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
    /// The node to talk to [env: LLM_ROUTER_ADDR] [default: http://127.0.0.1:8080].
    #[arg(long, global = true, value_name = "URL")]
    pub addr: Option<String>,
    /// A file with the key to present [env: LLM_ROUTER_KEY holds the key itself].
    #[arg(long, global = true, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a node in the foreground.
    Serve(serve::Serve),
    /// Write a commented configuration file.
    Init(init::Init),
    /// List the templates of `init`, or show one.
    Templates(templates::Templates),
    /// Check a configuration file; every problem with line and column.
    Validate(validate::Validate),
    /// The configuration: its schema, what is in force, what was before.
    #[command(subcommand)]
    Config(config::Config),
    /// Ask a model; the answer streams to the terminal.
    Chat(chat::Chat),
    /// Make vectors of texts; the node's own model needs no configuration.
    Embed(embed::Embed),
    /// The node's models: queues, breakers, latencies.
    Models,
    /// The node's routes, and where a request would go.
    #[command(subcommand)]
    Routes(routes::Routes),
    /// Who may call the cluster.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The nodes, and who belongs to them.
    #[command(subcommand)]
    Cluster(cluster::Cluster),
    /// Certificates for the nodes of a cluster.
    #[command(subcommand)]
    Certs(certs::Certs),
    /// The node's cache.
    #[command(subcommand)]
    Cache(cache::Cache),
    /// The weights of the cache's embedding model.
    #[command(subcommand)]
    Model(model::Model),
    /// Check this machine: configuration, ports, disk, weights, upstreams, clock, limits.
    Doctor(doctor::Doctor),
    /// Ask the node whether it lives; says it by the exit code alone.
    Healthcheck,
    /// Completions for a shell.
    Completions(completions::Completions),
}
