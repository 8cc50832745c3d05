//! `models`: the node's models as operators see them.

use serde_json::Value;

use super::client::json;
use super::output::{cell, table};
use super::{Code, Context};

/// Prints every model's queue, breaker and latencies.
///
/// # Errors
/// The node refuses or is not there.
pub async fn run(context: &Context) -> anyhow::Result<Code> {
    let answer = context.client()?.get("/admin/v1/models").await?;
    let models = json(&answer)?;
    context.out.answer(&answer, || list(&models))?;
    Ok(Code::Ok)
}

fn list(models: &Value) -> String {
    let rows = models
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, model)| {
            [
                name.clone(),
                cell(&model["provider"]),
                cell(&model["model"]),
                cell(&model["queue_depth"]),
                cell(&model["in_flight"]),
                breaker(&model["circuit_breaker"]),
                cell(&model["successes"]),
                cell(&model["failures"]),
                millis(&model["avg_first_token_ms"]),
                millis(&model["avg_latency_ms"]),
                cell(&model["health"]),
                price(&model["price"]),
                cell(&model["context_window"]),
            ]
        });
    let headings = [
        "NAME",
        "PROVIDER",
        "MODEL",
        "WAITING",
        "RUNNING",
        "BREAKER",
        "OK",
        "FAILED",
        "FIRST TOKEN",
        "LATENCY",
        "HEALTH",
        "$/MTOK",
        "WINDOW",
    ];
    table(headings, rows)
}

/// Its state, and the operator's word if it stands on one.
fn breaker(status: &Value) -> String {
    let state = cell(&status["state"]);
    match status["mode"].as_str() {
        Some(mode @ ("force_open" | "force_closed")) => format!("{state} ({mode})"),
        Some(_) | None => state,
    }
}

/// Prompt and answer, in dollars per million tokens; a dash where nobody knows.
fn price(price: &Value) -> String {
    match (
        price["input_per_mtok"].as_f64(),
        price["output_per_mtok"].as_f64(),
    ) {
        (Some(input), Some(output)) if input + output > 0.0 => format!("{input} / {output}"),
        (Some(_), Some(_)) => "free".to_owned(),
        _ => "-".to_owned(),
    }
}

/// Milliseconds; a dash before the first measurement.
fn millis(value: &Value) -> String {
    match value.as_f64() {
        Some(millis) if millis > 0.0 => format!("{millis:.0} ms"),
        Some(_) | None => "-".to_owned(),
    }
}
