//! `validate`: every problem of a configuration file at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::Format;
use super::{Code, Context};
use crate::config::load::{read, warnings};

/// The file looked for when none is named.
const DEFAULT: &str = "llm-router.yaml";

/// Check a configuration file.
#[derive(Clone, Debug, Args)]
pub struct Validate {
    /// Configuration file [env: LLM_ROUTER_CONFIG] [default: llm-router.yaml].
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The same, without `-c`.
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
}

/// Checks the file; warnings alone are no failure.
///
/// # Errors
/// The result cannot be written.
pub fn run(verb: &Validate, context: &Context) -> anyhow::Result<Code> {
    let named = verb.config.clone().or_else(|| verb.file.clone());
    let path = named
        .or_else(|| context.env.config.clone())
        .unwrap_or_else(|| DEFAULT.into());
    let out = &context.out;
    let name = path.display();
    match read(&path) {
        Err(problems) if out.format() == Format::Table => out.note(&problems.to_string())?,
        Err(problems) => out.value(&json!({"valid": false, "problems": problems.problems}))?,
        Ok(parsed) => {
            let warnings = warnings(&parsed);
            let summary = json!({"valid": true, "problems": [], "warnings": warnings});
            out.show(&summary, || {
                let (models, routes) = (parsed.routing.models.len(), parsed.routing.routes.len());
                let mut lines: Vec<String> = warnings
                    .iter()
                    .map(|warning| format!("warning: {warning}"))
                    .collect();
                lines.push(format!(
                    "{name}: in order (models: {models}, routes: {routes})"
                ));
                lines.join("\n")
            })?;
            return Ok(Code::Ok);
        }
    }
    Ok(Code::Problems)
}
