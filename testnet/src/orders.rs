//! The scripted upstream in a process of its own: for clients that are not written in Rust, who give
//! orders on stdin, and in a container, where orders come over a connection.

mod standing;

use anyhow::Context;
use llm_router::provider::demo::trouble::{ALL, Orders, Trouble};
use llm_router::provider::demo::upstream::Upstream;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader};

pub use standing::{Standing, give};

/// Serves: where `standing` says, or on a free port until stdin ends.
///
/// # Errors
/// When a port cannot be had, an option is unknown, or stdin and stdout are gone.
pub async fn run(standing: &Standing) -> anyhow::Result<()> {
    match (standing.listen, standing.orders) {
        (Some(listen), Some(orders)) => standing::stand(listen, orders, &standing.options).await,
        (Some(_) | None, _) => serve().await,
    }
}

async fn serve() -> anyhow::Result<()> {
    let upstream = crate::Upstream::start().await?;
    let mut out = tokio::io::stdout();
    say(&mut out, &json!({"url": upstream.url()})).await?;
    take(&upstream, BufReader::new(tokio::io::stdin()), &mut out).await
}

/// Takes orders, one a line, and answers each by a line, until there are no more.
async fn take(
    upstream: &Upstream,
    orders: impl AsyncBufRead + Unpin,
    mut out: impl AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let mut lines = orders.lines();
    while let Some(line) = lines.next_line().await? {
        let answer = match obey(upstream, &line) {
            Ok(answer) => answer,
            Err(error) => json!({"error": format!("{error:#}")}),
        };
        say(&mut out, &answer).await?;
    }
    Ok(())
}

async fn say(out: &mut (impl AsyncWrite + Unpin), answer: &Value) -> anyhow::Result<()> {
    out.write_all(format!("{answer}\n").as_bytes()).await?;
    Ok(out.flush().await?)
}

fn obey(upstream: &Upstream, line: &str) -> anyhow::Result<Value> {
    let (order, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    match order {
        "trouble" => upstream.set_fault(trouble(rest)?),
        "option" => {
            let (name, value) = rest.split_once(' ').context("option NAME VALUE")?;
            let value: Value = serde_json::from_str(value).context("a value in JSON")?;
            upstream.set_option(name, value)?;
        }
        "heal" => upstream.set_fault(Trouble::None),
        "stats" => {
            return Ok(
                json!({"requests": upstream.requests(), "aborted": upstream.aborted(),
                "in_flight": upstream.in_flight()}),
            );
        }
        "headers" => {
            let last = upstream.last_headers();
            let last = last.as_ref();
            let traceparent = last.and_then(|last| last.get("traceparent")?.to_str().ok());
            return Ok(json!({"traceparent": traceparent}));
        }
        other => anyhow::bail!("no such order: {other}"),
    }
    Ok(json!({}))
}

/// `NAME TOKENS`: the name may have spaces in it.
fn trouble(text: &str) -> anyhow::Result<Orders> {
    let (name, tokens) = match text.rsplit_once(' ') {
        Some((name, tokens)) if tokens.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, tokens.parse()?)
        }
        Some(_) | None => (text, 0),
    };
    // `status 503` is a name that ends in a number
    let named = |name: &str| {
        ALL.into_iter()
            .find(|trouble: &Trouble| trouble.name() == name)
    };
    match (named(text), named(name)) {
        (Some(trouble), _) => Ok(trouble.into()),
        (None, Some(trouble)) => Ok(trouble.after(tokens)),
        (None, None) => anyhow::bail!("no such trouble: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_numbers_and_spaces_are_understood() {
        assert_eq!(
            trouble("cut by reset 3").unwrap(),
            Trouble::CutByReset.after(3)
        );
        let status = trouble("status 503").unwrap();
        assert_ne!(status, Trouble::Reset.into());
        assert_eq!(trouble("silent").unwrap(), Trouble::Silent.into());
        assert!(trouble("bad weather").is_err());
    }
}
