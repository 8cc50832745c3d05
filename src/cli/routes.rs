//! `routes`: the node's rules, and where a request would go without sending it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::chat::Manner;
use super::client;
use super::output::{cell, table};
use super::{Code, Context};

/// Largest request file, in bytes.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// The node's routes, and where a request would go.
#[derive(Clone, Debug, Subcommand)]
pub enum Routes {
    /// List the rules in order.
    List,
    /// Which rule, which models in which order, and why. Nothing is sent to a model.
    Explain(Explain),
}

/// Which rule, which models in which order, and why.
#[derive(Clone, Debug, Args)]
pub struct Explain {
    /// The name the client would ask for.
    #[arg(short = 'm', long, default_value = "auto")]
    pub model: String,
    /// How the client would ask.
    #[command(flatten)]
    pub manner: Manner,
    /// The prompt.
    #[arg(required_unless_present = "file")]
    pub prompt: Option<String>,
    /// A whole chat request in JSON instead; `-` reads stdin.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["prompt", "model"])]
    pub file: Option<PathBuf>,
}

/// Prints the rules or an explanation.
///
/// # Errors
/// The node refuses or is not there.
pub async fn run(verb: Routes, context: &Context) -> anyhow::Result<Code> {
    let node = context.client()?;
    let (answer, draw): (String, fn(&Value) -> String) = match verb {
        Routes::List => (node.get("/admin/v1/routes").await?, list),
        Routes::Explain(verb) => {
            let request = node
                .request(Method::POST, "/admin/v1/explain")
                .json(&body(&verb)?);
            (node.whole(verb.manner.apply(request)).await?, explanation)
        }
    };
    let value = client::json(&answer)?;
    context.out.answer(&answer, || draw(&value))?;
    Ok(Code::Ok)
}

fn body(verb: &Explain) -> anyhow::Result<Value> {
    let Some(path) = &verb.file else {
        let prompt = verb.prompt.as_deref().unwrap_or_default();
        return Ok(json!({"model": verb.model, "messages": [{"role": "user", "content": prompt}]}));
    };
    let text = super::chat::read_text(path, MAX_REQUEST_BYTES)?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn list(answer: &Value) -> String {
    let routes = answer.get("routes").unwrap_or(answer).as_array();
    let rows = routes.into_iter().flatten().map(|route| {
        let targets = names(&route["targets"]);
        let fallback = names(&route["fallback"]);
        let strategy = route["strategy"].as_str().unwrap_or("ordered").to_owned();
        [
            cell(&route["name"]),
            conditions(&route["match"]),
            targets,
            fallback,
            strategy,
        ]
    });
    table(["NAME", "MATCHES", "TARGETS", "FALLBACK", "STRATEGY"], rows)
}

fn without(dropped: &Value) -> String {
    let params = dropped.as_array().into_iter().flatten();
    params
        .filter_map(Value::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn names(targets: &Value) -> String {
    let name = |target: &Value| match target["weight"].as_u64() {
        Some(weight) => format!("{} ×{weight}", cell(&target["model"])),
        None => target.as_str().unwrap_or_default().to_owned(),
    };
    let names: Vec<String> = targets.as_array().into_iter().flatten().map(name).collect();
    names.join(", ")
}

fn conditions(given: &Value) -> String {
    let given = given.as_object().filter(|map| !map.is_empty());
    let Some(given) = given else {
        return "everything".to_owned();
    };
    let each: Vec<String> = given
        .iter()
        .map(|(key, value)| match value.as_array() {
            Some(any) => format!(
                "{key}: {}",
                any.iter().map(cell).collect::<Vec<_>>().join(" | ")
            ),
            None => format!("{key}: {}", cell(value)),
        })
        .collect();
    each.join(", ")
}

fn explanation(answer: &Value) -> String {
    let mark = |value: &Value| {
        if value.as_bool() == Some(true) {
            "✔"
        } else {
            "✘"
        }
        .to_owned()
    };
    let route = answer["route"]
        .as_str()
        .unwrap_or("none: the model was named, or no rule matched");
    let mut text = format!("route: {route}\n");
    for (key, label) in [
        ("strategy", "strategy"),
        ("prompt_tokens", "prompt tokens, estimated"),
    ] {
        if !answer[key].is_null() {
            text.push_str(&format!("{label}: {}\n", cell(&answer[key])));
        }
    }
    let rules = answer["rules"].as_array().into_iter().flatten();
    let rules: Vec<_> = rules
        .map(|rule| {
            [
                mark(&rule["matched"]),
                cell(&rule["route"]),
                cell(&rule["reason"]),
            ]
        })
        .collect();
    if !rules.is_empty() {
        text.push_str(&format!("\n{}\n", table(["", "RULE", "BECAUSE"], rules)));
    }
    let candidates = answer["candidates"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate();
    let candidates = candidates.map(|(index, candidate)| {
        [
            mark(&candidate["eligible"]),
            (index + 1).to_string(),
            cell(&candidate["model"]),
            cell(&candidate["role"]),
            cell(&candidate["score"]),
            cell(&candidate["reason"]),
            without(&candidate["dropped"]),
        ]
    });
    let head = ["", "#", "MODEL", "ROLE", "SCORE", "BECAUSE", "WITHOUT"];
    text + "\n" + &table(head, candidates)
}
