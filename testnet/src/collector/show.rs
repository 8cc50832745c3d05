//! Asking a running collector for a trace, from outside its process.

use std::time::Duration;

use anyhow::{Context, bail};
use http::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::store::Stored;
use super::tree::Tree;

/// For one answer of the collector.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked while a trace is waited for.
const AGAIN: Duration = Duration::from_millis(250);
/// A trace that has not grown for so long is taken to be whole: nodes send what they have each second.
const QUIET: Duration = Duration::from_secs(2);

/// A trace drawn as a tree, or without an id the list of the latest. `id` may be a `traceparent`.
///
/// # Errors
/// When the id is none, the collector cannot be asked, or has no such trace after `wait`.
pub async fn trace(collector: &str, id: Option<&str>, wait: Duration) -> anyhow::Result<String> {
    let base = collector.trim_end_matches('/');
    // The first one in a process wins, the others find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(ANSWERED_WITHIN)
        .build()?;
    let Some(id) = id else {
        let listed = client.get(format!("{base}/traces")).send().await;
        let listed = listed.with_context(|| format!("no collector at {base}"))?;
        return Ok(list(&listed.error_for_status()?.json().await?));
    };
    let url = format!("{base}/traces/{}", trace_id(id)?);
    let deadline = Instant::now() + wait;
    let mut known: Option<(Stored, Instant)> = None;
    loop {
        let answer = client.get(&url).send().await;
        let answer = answer.with_context(|| format!("no collector at {base}"))?;
        let now = Instant::now();
        match answer.status() {
            StatusCode::NOT_FOUND => {}
            _ => {
                let stored: Stored = answer.error_for_status()?.json().await?;
                let same = known.take().filter(|(before, _)| *before == stored);
                known = Some((stored, same.map_or(now, |(_, since)| since)));
            }
        }
        let quiet = known
            .as_ref()
            .is_some_and(|(_, since)| now >= *since + QUIET);
        if quiet || now >= deadline {
            break;
        }
        sleep(AGAIN).await;
    }
    match known {
        Some((stored, _)) => Ok(drawn(stored)),
        None => bail!("the collector has no span of this trace; was it sampled?"),
    }
}

fn drawn(stored: Stored) -> String {
    let left_out = stored.left_out;
    let mut text = Tree::of(stored.spans).to_string();
    if left_out > 0 {
        text.push_str(&format!("and {left_out} spans there was no room for\n"));
    }
    text.trim_end().to_owned()
}

fn list(traces: &Value) -> String {
    let mut lines = vec![format!(
        "{:<32}  {:>5}  {:>5}  {:>9}  begins with",
        "trace", "spans", "nodes", "ms"
    )];
    for trace in traces.as_array().map_or(&[][..], Vec::as_slice) {
        let number = |key: &str| trace[key].as_u64().unwrap_or(0);
        let name = trace["name"].as_str().unwrap_or("");
        lines.push(format!(
            "{:<32}  {:>5}  {:>5}  {:>9.1}  {}",
            trace["trace"].as_str().unwrap_or(""),
            number("spans"),
            number("nodes"),
            Duration::from_nanos(number("duration_ns")).as_secs_f64() * 1e3,
            name.escape_debug()
        ));
    }
    lines.join("\n")
}

/// The trace's id in an id or a `traceparent`.
fn trace_id(text: &str) -> anyhow::Result<String> {
    let text = text.trim().to_ascii_lowercase();
    let id = match text.split('-').collect::<Vec<_>>().as_slice() {
        [id] => (*id).to_owned(),
        [_, id, _, _] => (*id).to_owned(),
        _ => String::new(),
    };
    let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    match valid {
        true => Ok(id),
        false => bail!("a trace's id has 32 hexadecimal digits; a whole traceparent will do too"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_a_whole_traceparent_will_do() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for text in [
            id.to_owned(),
            format!("00-{id}-b7ad6b7169203331-01"),
            id.to_uppercase(),
        ] {
            assert_eq!(trace_id(&text).unwrap(), id);
        }
        for text in ["", "0af7", &format!("{id}-1"), &"x".repeat(32)] {
            assert!(trace_id(text).is_err(), "{text}");
        }
    }
}
