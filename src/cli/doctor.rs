//! `doctor`: what on this machine would keep a node from working, each with a hint.

mod cluster;
mod machine;
mod network;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Code, Context};
use crate::config::detect::{Found, detect};
use crate::config::{Flags, Loaded, load};

/// Check this machine: configuration, ports, disk, weights, upstreams, clock, limits.
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// Configuration file [env: LLM_ROUTER_CONFIG].
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where state would be kept [env: LLM_ROUTER_DATA].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// It is in order.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    fn good(name: impl Into<String>, found: impl Into<String>) -> Self {
        Check {
            name: name.into(),
            ok: true,
            found: found.into(),
            hint: None,
        }
    }

    fn bad(name: impl Into<String>, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Check {
            name: name.into(),
            ok: false,
            found: found.into(),
            hint: Some(hint.into()),
        }
    }

    fn line(&self) -> String {
        let mark = if self.ok { '✔' } else { '✘' };
        let line = format!("{mark} {:<11} {}", self.name, self.found);
        match &self.hint {
            Some(hint) => format!("{line}\n    {hint}"),
            None => line,
        }
    }
}

/// Looks at everything and prints it; any ✘ is a problem.
///
/// # Errors
/// The result cannot be written.
pub async fn run(verb: &Doctor, context: &Context) -> anyhow::Result<Code> {
    let checks = look(verb, context).await;
    let lines: Vec<String> = checks.iter().map(Check::line).collect();
    context.out.show(&checks, || lines.join("\n"))?;
    let healthy = checks.iter().all(|check| check.ok);
    Ok(if healthy { Code::Ok } else { Code::Problems })
}

async fn look(verb: &Doctor, context: &Context) -> Vec<Check> {
    let flags = Flags {
        config: verb.config.clone(),
        data: verb.data.clone(),
        ..Flags::default()
    };
    let (mut loaded, mut checks) = match load(&flags, &context.env) {
        Ok(loaded) => {
            let checks = configuration(&loaded);
            (loaded, checks)
        }
        Err(problems) => {
            let bad = Check::bad(
                "config",
                problems.to_string(),
                "fix the file, or run without -c",
            );
            return vec![bad, machine::clock(), machine::open_files()];
        }
    };
    let undeclared = loaded.routing.models.is_empty();
    let found = if undeclared {
        detect(&context.env).await
    } else {
        Found::default()
    };
    loaded.fill(&found);
    checks.extend(network::ports(&loaded.node.listen).await);
    checks.extend(loaded.node.data_dir.as_deref().map(machine::data_dir));
    checks.extend(among_others(&loaded, context).await);
    checks.extend(loaded.node.embedder.dir.as_deref().map(machine::weights));
    checks.extend(network::upstreams(&loaded.routing).await);
    checks.push(machine::clock());
    checks.push(machine::open_files());
    checks
}

async fn among_others(loaded: &Loaded, context: &Context) -> Vec<Check> {
    let node = &loaded.node;
    let data_dir = node.data_dir.as_deref();
    let mut checks = Vec::new();
    checks.extend(data_dir.and_then(|dir| cluster::owner(node, dir)));
    if let Some(tls) = &node.cluster.tls {
        checks.push(cluster::certificates(tls, node.node.id.as_deref()));
    }
    let here = Context {
        addr: [&context.addr, &context.env.addr]
            .into_iter()
            .find_map(Clone::clone)
            .or_else(|| Some(node.listen.http.clone())),
        ..context.clone()
    };
    if let Ok(client) = here.client() {
        checks.extend(cluster::running(&client).await);
    }
    checks
}

fn configuration(loaded: &Loaded) -> Vec<Check> {
    let found = match &loaded.source {
        Some(path) => format!("{}: in order", path.display()),
        None => "no file: built-in defaults".to_owned(),
    };
    let mut checks = vec![Check::good("config", found)];
    let warnings = loaded.warnings.iter().map(|warning| {
        Check::bad(
            "config",
            warning.to_string(),
            "a node starts all the same; this will fail later",
        )
    });
    checks.extend(warnings);
    checks
}

#[cfg(test)]
mod tests;
