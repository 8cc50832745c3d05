//! What it costs that client and upstream speak different dialects: the same answer through every
//! door and over every provider, beside Chat Completions passed through.
//!
//! The upstream's answers are recorded from the scripted one and sent as they are, so that all that
//! differs between two rows is the node's own work. Sides take turns.

mod alone;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use llm_router_testnet::backends::{Backend, KEY};
use llm_router_testnet::doors::{Door, Question};
use llm_router_testnet::listen;
use llm_router_testnet::table::Table;
use llm_router_testnet::{Node, Upstream};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Words of the long answer, a chunk each.
const WORDS: usize = 256;
/// Runs of a side in one turn.
const RUNS: usize = 40;
/// Runs before anything counts.
const WARM_UP: usize = 20;
/// What translation may add, in microseconds.
const REQUEST_BUDGET: f64 = 50.0;
const CHUNK_BUDGET: f64 = 5.0;

/// The dialects that differ on the wire; Azure's is OpenAI's.
const BACKENDS: [Backend; 4] = [
    Backend::OpenAi,
    Backend::Anthropic,
    Backend::Gemini,
    Backend::Ollama,
];
const DOORS: [Door; 3] = [Door::Chat, Door::Messages, Door::Responses];

/// Recorded answers by upstream path, model and whether they are streamed.
type Recorded = HashMap<(String, bool), (String, Bytes)>;

/// Measures and prints one table.
///
/// # Errors
/// When the node does not start or a side does not answer.
pub(crate) async fn run(turns: u32) -> anyhow::Result<()> {
    println!("\ntranslation, p50; what it adds to Chat Completions passed through");
    let scripted = Upstream::start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let recorded = Arc::new(record(&scripted).await?);
    let given = Arc::clone(&recorded);
    let mut serving = JoinSet::new();
    serving.spawn(listen::serve(listener, move |request| {
        replay(Arc::clone(&given), request)
    }));
    let mut config = String::from("models:\n");
    for backend in BACKENDS {
        for model in ["short", "long"] {
            let name = format!("{}-{model}", backend.name());
            let line = backend.model(&scripted, (&name, model), "");
            config.push_str(&line.replace(&scripted.url(), &format!("http://{address}")));
        }
    }
    let node = Node::start(&config).await?;
    let mut sides = Vec::new();
    for door in DOORS {
        for backend in BACKENDS {
            sides.push(Side::new(door, backend)?);
        }
    }
    for turn in 0..=turns {
        let runs = if turn == 0 { WARM_UP } else { RUNS };
        for side in &mut sides {
            side.measure(&node, runs, turn > 0).await?;
        }
    }
    report(&sides)?;
    alone::report(&recorded)
}

/// What the scripted upstream says in each dialect, short and long, whole and streamed.
async fn record(scripted: &Upstream) -> anyhow::Result<Recorded> {
    let mut recorded = Recorded::new();
    let client = llm_router_testnet::Client::new(&scripted.addr().to_string())?;
    for backend in BACKENDS {
        for (model, words) in [("short", 1), ("long", WORDS)] {
            let text = vec!["word"; words].join(" ");
            for stream in [false, true] {
                let (path, body) = ask(backend, model, &text, stream);
                let request = client
                    .request(http::Method::POST, &path)
                    .header("x-api-key", KEY)
                    .header("x-goog-api-key", KEY)
                    .header("anthropic-version", "2023-06-01")
                    .json(&body);
                let answer = request.send().await?;
                anyhow::ensure!(answer.status() == 200, "{path}: {}", answer.status());
                let kind = answer.headers()["content-type"].to_str()?.to_owned();
                let key = (key(&path, model), stream);
                recorded.insert(key, (kind, answer.bytes().await?));
            }
        }
    }
    Ok(recorded)
}

/// A request as its provider would send it, near enough.
fn ask(backend: Backend, model: &str, text: &str, stream: bool) -> (String, serde_json::Value) {
    let said = serde_json::json!([{"role": "user", "content": text}]);
    let chat = serde_json::json!({"model": model, "messages": said, "stream": stream,
        "stream_options": {"include_usage": true}});
    match backend {
        Backend::OpenAi | Backend::Azure | Backend::Plugin => {
            ("/v1/chat/completions".to_owned(), chat)
        }
        Backend::Ollama => ("/api/chat".to_owned(), chat),
        Backend::Anthropic => (
            "/v1/messages".to_owned(),
            serde_json::json!({"model": model, "max_tokens": 4000, "messages": said,
                "stream": stream}),
        ),
        Backend::Gemini => {
            let verb = match stream {
                true => "streamGenerateContent?alt=sse",
                false => "generateContent",
            };
            let contents = serde_json::json!([{"role": "user", "parts": [{"text": text}]}]);
            let body = serde_json::json!({"contents": contents});
            (format!("/v1beta/models/{model}:{verb}"), body)
        }
    }
}

/// A path without its verb or query, and the model.
fn key(path: &str, model: &str) -> String {
    let path = path.split(['?', ':']).next().unwrap_or(path);
    format!("{path} {model}")
}

async fn replay(
    recorded: Arc<Recorded>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let asked = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    let in_path = path.contains("/models/").then(|| path.contains(":stream"));
    let stream = in_path
        .or(asked["stream"].as_bool())
        .unwrap_or(path == "/api/chat");
    let long = path.contains("/long:") || asked["model"] == "long";
    let model = if long { "long" } else { "short" };
    let found = recorded.get(&(key(&path, model), stream));
    let mut response = Response::new(Full::default());
    match found {
        Some((kind, bytes)) => {
            *response.body_mut() = Full::new(bytes.clone());
            if let Ok(kind) = kind.parse() {
                response.headers_mut().insert("content-type", kind);
            }
        }
        None => *response.status_mut() = http::StatusCode::NOT_FOUND,
    }
    Ok(response)
}

/// One door over one dialect.
struct Side {
    door: Door,
    backend: Backend,
    /// Whole, short stream, long stream: path, body, and microseconds of each run.
    parts: [(&'static str, serde_json::Value, Vec<f64>); 3],
}

impl Side {
    fn new(door: Door, backend: Backend) -> anyhow::Result<Self> {
        let part = |model: &str, stream: bool| {
            let model = format!("{}-{model}", backend.name());
            let question = Question::new(model, "a question of some ten words, as people ask them");
            let (path, body) = door
                .request(&question.streamed(stream))
                .context("no body")?;
            anyhow::Ok((path, body, Vec::new()))
        };
        let parts = [
            part("short", false)?,
            part("short", true)?,
            part("long", true)?,
        ];
        Ok(Side {
            door,
            backend,
            parts,
        })
    }

    async fn measure(&mut self, node: &Node, runs: usize, counts: bool) -> anyhow::Result<()> {
        for (path, body, took) in &mut self.parts {
            for _ in 0..runs {
                let request = node
                    .http()
                    .request(http::Method::POST, path)
                    .header("x-llm-router-cache", "off")
                    .json(body);
                let began = Instant::now();
                let answer = request.send().await?;
                let status = answer.status();
                let text = answer.text().await?;
                let elapsed = began.elapsed();
                anyhow::ensure!(status == 200, "{path}: {status} {text}");
                if counts {
                    took.push(micros(elapsed));
                }
            }
        }
        Ok(())
    }

    /// Whole answer, and one chunk of a stream.
    fn costs(&self) -> (f64, f64) {
        let [whole, short, long] = self.parts.each_ref().map(|(_, _, took)| middle(took));
        #[expect(clippy::cast_precision_loss, reason = "some hundred words")]
        let chunks = (WORDS - 1) as f64;
        (whole, (long - short) / chunks)
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn middle(took: &[f64]) -> f64 {
    let mut took = took.to_vec();
    took.sort_by(f64::total_cmp);
    took.get(took.len() / 2).copied().unwrap_or(f64::NAN)
}

fn report(sides: &[Side]) -> anyhow::Result<()> {
    let plain = |side: &&Side| (side.door, side.backend) == (Door::Chat, Backend::OpenAi);
    let plain = sides
        .iter()
        .find(plain)
        .context("nothing to compare with")?;
    let (whole, chunk) = plain.costs();
    let mut table = Table::new(&[
        "client over provider",
        "request us",
        "added us",
        "ratio",
        "chunk us",
        "added us",
        "ratio",
    ]);
    let mut worst = (0.0_f64, 0.0_f64);
    for side in sides {
        let costs = side.costs();
        let added = (costs.0 - whole, costs.1 - chunk);
        worst = (worst.0.max(added.0), worst.1.max(added.1));
        table.row(vec![
            format!("{} over {}", side.door.name(), side.backend.name()),
            format!("{:.1}", costs.0),
            format!("{:.1}", added.0),
            format!("{:.2}", costs.0 / whole),
            format!("{:.2}", costs.1),
            format!("{:.2}", added.1),
            format!("{:.2}", costs.1 / chunk),
        ]);
    }
    println!("{table}");
    println!(
        "most added: {:.1} us a request (budget {REQUEST_BUDGET}), {:.2} us a chunk (budget {CHUNK_BUDGET})",
        worst.0, worst.1
    );
    Ok(())
}
