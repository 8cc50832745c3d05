//! From data to the file that ships: which pairs are learnt from, which are kept apart to say what
//! the head's numbers mean.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use llm_router::cache::embed::Embedder;
use llm_router::cache::verifier::{Bin, Head, Trained};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde_json::json;

use super::grammar::{self, Pair};
use super::measured::{self, Measured};
use super::train::{Example, Recipe, fit};

/// Pairs by rules that are learnt from.
const BY_RULES: usize = 24_000;
/// Pairs by rules that calibrate.
const BY_RULES_APART: usize = 16_000;
/// Of the near misses among them, one in so many counts: in traffic a question whose nearest
/// neighbour is a near miss is rarer than the rules make it.
const NEAR_MISSES_KEPT: usize = 2;
/// Pairs of statements with swapped roles that calibrate: rare in traffic, so few.
const SWAPPED_APART: usize = 400;
/// How often a pair of reworded statements counts in training: there are few of them.
const STATEMENTS_COUNT: f32 = 4.0;
/// Bins per unit of log odds, and the range they cover.
const BINS: std::ops::Range<i16> = 0..28;
const BINS_PER_UNIT: f32 = 4.0;

/// What is learnt from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// PAWS-Wiki, labelled, final: `text_a`, `text_b`, `label`.
    pub swapped: PathBuf,
    /// Statements and their rewordings (the mock data of GPTCache): the same columns.
    pub statements: PathBuf,
}

/// Trains and calibrates; the result is the file's content, and a report for people.
///
/// # Errors
/// Files that cannot be read, an embedder that fails.
pub async fn make(embedder: &Embedder, sources: &Sources, seed: u64) -> Result<(Trained, String)> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let by_rules = grammar::pairs(&mut rng, BY_RULES);
    let apart = grammar::pairs(&mut rng, BY_RULES_APART);
    let (swapped, mut swapped_apart) = split(&sources.swapped, &mut rng)?;
    let (statements, mut statements_apart) = split(&sources.statements, &mut rng)?;
    swapped_apart.truncate(SWAPPED_APART);
    statements_apart.extend(strangers(&statements_apart));

    let learnt = [
        (by_rules, 1.0),
        (swapped, 1.0),
        (statements, STATEMENTS_COUNT),
    ];
    let mut examples = Vec::new();
    let mut counts = Vec::new();
    for (pairs, weight) in learnt {
        counts.push(pairs.len());
        let measured = measured::measure(embedder, pairs).await?;
        examples.extend(measured.iter().filter_map(|one| example(one, weight)));
    }
    let recipe = Recipe {
        seed,
        ..Recipe::default()
    };
    let weights = fit(&examples, recipe);
    let head = Head::uncalibrated(weights.clone())?;

    let mut report = format!("learnt from {} open pairs of {counts:?}\n", examples.len());
    let apart = [
        ("rules", apart),
        ("swapped", swapped_apart),
        ("statements", statements_apart),
    ];
    let kept = judged(embedder, &head, apart, &mut report).await?;
    let trained = Trained {
        record: json!({
            "command": "llm-router-testnet train-verifier --models DIR --swapped FILE --statements FILE",
            "seed": seed,
            "recipe": recipe,
            "pairs": {"rules": BY_RULES, "swapped": counts[1], "statements": counts[2]},
            "apart": {"pairs": kept.len(), "rules": BY_RULES_APART, "swapped": SWAPPED_APART, "near_misses_kept": NEAR_MISSES_KEPT},
            "data": {
                "rules": "testnet/src/verifier/grammar.rs",
                "swapped": "PAWS-Wiki labeled final, free for any purpose (google-research-datasets/paws)",
                "statements": "GPTCache mock data, MIT (zilliztech/GPTCache)",
            },
        }),
        space: embedder
            .space()
            .split('+')
            .next()
            .unwrap_or_default()
            .to_owned(),
        calibration: bins(&kept),
        weights,
    };
    Ok((trained, report))
}

/// What the head says of pairs kept apart, with their labels.
async fn judged(
    embedder: &Embedder,
    head: &Head,
    apart: [(&str, Vec<Pair>); 3],
    report: &mut String,
) -> Result<Vec<(f32, bool)>> {
    let mut kept = Vec::new();
    for (name, pairs) in apart {
        let measured = measured::measure(embedder, pairs).await?;
        let judged: Vec<(f32, bool)> = measured
            .iter()
            .filter_map(|one| example(one, 1.0))
            .map(|one| (head.log_odds(&one.measures), one.same))
            .collect();
        let right = judged
            .iter()
            .filter(|(odds, same)| (*odds > 0.0) == *same)
            .count();
        *report += &format!(
            "{name}: {right} of {} pairs kept apart on the right side\n",
            judged.len()
        );
        let mut misses = 0;
        kept.extend(judged.into_iter().filter(|(_, same)| {
            misses += usize::from(!same);
            *same || misses % NEAR_MISSES_KEPT == 0
        }));
    }
    Ok(kept)
}

/// Half to learn from, half kept apart.
fn split(file: &Path, rng: &mut SmallRng) -> Result<(Vec<Pair>, Vec<Pair>)> {
    let mut pairs =
        measured::read(file).with_context(|| format!("cannot use {}", file.display()))?;
    pairs.shuffle(rng);
    let apart = pairs.split_off(pairs.len() * 2 / 3);
    Ok((pairs, apart))
}

/// Every text beside another pair's.
fn strangers(pairs: &[Pair]) -> Vec<Pair> {
    let next = pairs.iter().cycle().skip(1);
    let crossed = pairs.iter().zip(next).map(|(one, other)| Pair {
        a: one.a.clone(),
        b: other.b.clone(),
        same: false,
    });
    crossed.collect()
}

/// Only what the verifier would be asked about teaches it.
fn example(one: &Measured, weight: f32) -> Option<Example> {
    one.open.then_some(Example {
        measures: one.measures?,
        same: one.pair.same,
        weight,
    })
}

fn bins(kept: &[(f32, bool)]) -> Vec<Bin> {
    let bins = BINS.map(|bin| {
        let from = f32::from(bin) / BINS_PER_UNIT;
        let inside = kept.iter().filter(|(odds, _)| *odds >= from);
        let (mut pairs, mut wrong) = (0, 0);
        for (_, same) in inside {
            pairs += 1;
            wrong += u32::from(!same);
        }
        Bin { from, pairs, wrong }
    });
    bins.filter(|bin| bin.pairs > 0).collect()
}
