//! The embedder's forward pass beside others of the same weights, on one core, in one run: stock
//! candle, and onnxruntime with floats and with dynamic int8.
//!
//! The sides take turns, so that whatever else the machine does falls on all of them. Run it through
//! `testnet/scripts/embedding_bench.sh`, which keeps everything on one core and installs onnxruntime;
//! without that, its columns stay empty.

mod onnx;
mod stock;

use std::path::Path;

use anyhow::Context as _;
use llm_router::cache::embed::weights::MODEL_NAME;
use llm_router::cache::embed::{Encoder, Options, Vector};
use llm_router::config::node::EmbedderPrecision;
use llm_router_testnet::node;
use llm_router_testnet::table::Table;
use tokio::time::Instant;

/// Tokens of a text, and texts at once.
const SHAPES: [(usize, usize); 8] = [
    (6, 1),
    (9, 1),
    (16, 1),
    (58, 1),
    (9, 8),
    (58, 8),
    (9, 32),
    (58, 32),
];
/// Turns that every side takes for a shape.
const TURNS: usize = 12;
/// Tokens computed by a side in one turn, at least one run.
const TOKENS_PER_TURN: usize = 300;
const SIDES: [&str; 5] = ["candle", "ours f32", "ort f32", "ours int8", "ort int8"];

/// Ids of `[CLS]`, of some words over and over, and of `[SEP]`: the same on every side.
fn text(tokens: usize) -> Vec<u32> {
    const WORDS: [u32; 12] = [
        2129, 2079, 1045, 2693, 1996, 3116, 2013, 9857, 2012, 2093, 2000, 9432,
    ];
    let words = WORDS.into_iter().cycle().take(tokens - 2);
    [101].into_iter().chain(words).chain([102]).collect()
}

/// Measures and prints two tables: milliseconds, and what they are to each other.
///
/// # Errors
/// When a side cannot be set up or computes something else than the others.
pub(crate) fn run(python: Option<&Path>) -> anyhow::Result<()> {
    println!("\nembedding, forward pass alone, p50 ms per run");
    let Some(folder) = node::weights() else {
        println!("no weights: left out (llm-router model pull)");
        return Ok(());
    };
    let open = |precision| {
        Encoder::open(Options {
            model: MODEL_NAME,
            dir: &folder,
            workers: 1,
            precision,
        })
    };
    let mut floats = open(EmbedderPrecision::F32)?;
    let mut bytes = open(EmbedderPrecision::Int8)?;
    let stock = stock::Bert::load(&folder)?;
    let mut onnx = python
        .map(|python| onnx::Onnx::start(python, &folder))
        .transpose()?;
    if onnx.is_none() {
        println!("no onnxruntime: testnet/scripts/embedding_bench.sh installs it");
    }
    agree(&mut floats, &mut bytes, &stock, onnx.as_mut())?;

    let mut times = Table::new(&[
        "tokens x texts",
        SIDES[0],
        SIDES[1],
        SIDES[2],
        SIDES[3],
        SIDES[4],
    ]);
    let mut ratios = Table::new(&["ours / onnxruntime", "f32", "int8", "int8 tokens/s"]);
    for (tokens, texts) in SHAPES {
        let batch = vec![text(tokens); texts];
        let runs = TOKENS_PER_TURN.div_ceil(tokens * texts);
        let mut took: [Vec<f64>; 5] = Default::default();
        for _ in 0..TURNS {
            took[0].extend(timed(runs, || stock.forward(&batch).map(drop))?);
            took[1].extend(timed(runs, || vectors(&mut floats, &batch).map(drop))?);
            took[3].extend(timed(runs, || vectors(&mut bytes, &batch).map(drop))?);
            if let Some(onnx) = &mut onnx {
                took[2].extend(onnx.run("f32", tokens, texts, runs)?);
                took[4].extend(onnx.run("int8", tokens, texts, runs)?);
            }
        }
        let name = format!("{tokens} x {texts}");
        let p50 = took.map(middle);
        let cell = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.3}"));
        times.row([vec![name.clone()], p50.map(cell).to_vec()].concat());
        let ratio =
            |ours: usize, theirs: usize| cell(p50[ours].zip(p50[theirs]).map(|(a, b)| a / b));
        #[expect(clippy::cast_precision_loss, reason = "a few thousand tokens")]
        let speed = p50[3].map(|ms| (tokens * texts) as f64 / ms * 1e3);
        let speed = speed.map_or("-".to_owned(), |speed| format!("{speed:.0}"));
        ratios.row(vec![name, ratio(1, 2), ratio(3, 4), speed]);
    }
    println!("{times}\n{ratios}");
    Ok(())
}

fn vectors(encoder: &mut Encoder, batch: &[Vec<u32>]) -> anyhow::Result<Vec<Vector>> {
    encoder.encode_tokens(batch).context("a text has no vector")
}

/// Prints how far each side is from our floats; an error where one computes something else.
fn agree(
    floats: &mut Encoder,
    bytes: &mut Encoder,
    stock: &stock::Bert,
    onnx: Option<&mut onnx::Onnx>,
) -> anyhow::Result<()> {
    let batch = [text(16)];
    let first = |vectors: Vec<Vector>| vectors.into_iter().next().context("no vector");
    let ours = first(vectors(floats, &batch)?)?;
    let mut others = vec![
        ("candle", stock.forward(&batch)?, 1e-4),
        ("ours int8", first(vectors(bytes, &batch)?)?, 0.005),
    ];
    if let Some(onnx) = onnx {
        others.push(("ort f32", onnx.vector("f32", &batch[0])?, 1e-4));
        others.push(("ort int8", onnx.vector("int8", &batch[0])?, 0.1));
    }
    for (name, vector, most) in others {
        let error = 1.0 - ours.dot(&vector);
        println!("cosine error of {name}: {error:.5}");
        anyhow::ensure!(error < most, "{name} computes something else");
    }
    Ok(())
}

fn timed(runs: usize, mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(runs);
    for _ in 0..runs {
        let started = Instant::now();
        run()?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}

fn middle(mut took: Vec<f64>) -> Option<f64> {
    took.sort_by(f64::total_cmp);
    took.get(took.len() / 2).copied()
}
