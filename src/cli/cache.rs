//! `cache`: counters, a look at how two prompts compare, throwing answers away, and vetoes.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client;
use super::evaluate::{self, Evaluate};
use super::output::cell;
use super::{Code, Context};

/// The node's cache.
#[derive(Clone, Debug, Subcommand)]
pub enum Cache {
    /// Counters of both tiers.
    Stats,
    /// Would B be answered with A's answer? Without B: is there an answer for A?
    Lookup(Lookup),
    /// Throw answers away.
    Purge(Purge),
    /// This entry's answer was wrong for this question: never give it for it again by meaning.
    Veto(Veto),
    /// Divide the embedding space among the nodes anew, by what they hold now.
    Cells,
    /// Measure the semantic tier on questions you have labelled; needs no node.
    Eval(Evaluate),
}

/// Would B be answered with A's answer?
#[derive(Clone, Debug, Args)]
pub struct Lookup {
    /// A prompt.
    pub a: String,
    /// Another prompt.
    pub b: Option<String>,
}

/// Throw answers away; exactly one of these says which.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Purge {
    /// All of them.
    #[arg(long)]
    pub all: bool,
    /// Those of a tenant.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Those of requests with this tag.
    #[arg(long, value_name = "K=V")]
    pub tag: Option<String>,
    /// Those of a model.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// One of them.
    #[arg(long, value_name = "ID")]
    pub entry: Option<String>,
}

/// A pair that was wrong.
#[derive(Clone, Debug, Args)]
pub struct Veto {
    /// The entry, as the header `x-llm-router-cache-entry` or `cache lookup` says it.
    pub entry: String,
    /// The question it was wrong for.
    pub question: String,
}

impl Purge {
    fn body(&self) -> Value {
        let scopes = [
            ("tenant", &self.tenant),
            ("tag", &self.tag),
            ("model", &self.model),
            ("entry", &self.entry),
        ];
        let one = scopes
            .into_iter()
            .find_map(|(name, value)| Some((name, value.as_ref()?)));
        match one {
            Some((name, value)) => json!({name: value}),
            None => json!({"all": self.all}),
        }
    }
}

/// Asks the node and prints what it says.
///
/// # Errors
/// The node refuses or is not there.
pub async fn run(verb: Cache, context: &Context) -> anyhow::Result<Code> {
    let answer = match verb {
        Cache::Eval(verb) => return evaluate::run(verb, context).await,
        Cache::Stats => context.client()?.get("/admin/v1/cache").await?,
        Cache::Cells => {
            context
                .client()?
                .post("/admin/v1/cache/cells", &json!({}))
                .await?
        }
        Cache::Lookup(Lookup { a, b }) => {
            let body = match b {
                Some(b) => json!({"a": a, "b": b}),
                None => json!({"a": a}),
            };
            context
                .client()?
                .post("/admin/v1/cache/lookup", &body)
                .await?
        }
        Cache::Purge(verb) => {
            context
                .client()?
                .post("/admin/v1/cache/purge", &verb.body())
                .await?
        }
        Cache::Veto(Veto { entry, question }) => {
            let body = json!({"entry": entry, "question": question});
            context
                .client()?
                .post("/admin/v1/cache/veto", &body)
                .await?
        }
    };
    let value = client::json(&answer)?;
    context.out.answer(&answer, || facts(&value))?;
    Ok(Code::Ok)
}

/// Every fact on its own line, inner ones by their path.
fn facts(value: &Value) -> String {
    let mut rows = Vec::new();
    collect("", value, &mut rows);
    let width = rows
        .iter()
        .map(|[name, _]| name.chars().count())
        .max()
        .unwrap_or_default();
    let lines: Vec<String> = rows
        .iter()
        .map(|[name, fact]| format!("{name:width$}  {fact}"))
        .collect();
    lines.join("\n")
}

fn collect(name: &str, value: &Value, rows: &mut Vec<[String; 2]>) {
    let below = |key: &str| {
        if name.is_empty() {
            key.to_owned()
        } else {
            format!("{name}.{key}")
        }
    };
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| collect(&below(key), value, rows)),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                rows.push([below(&(index + 1).to_string()), one_line(item)]);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(cell).collect();
            rows.push([name.to_owned(), items.join(", ")]);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            rows.push([name.to_owned(), cell(value)]);
        }
    }
}

/// A map as `key value, key value`.
fn one_line(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| format!("{key} {}", cell(value)))
        .collect();
    pairs.join(", ")
}
