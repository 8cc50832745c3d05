//! What an evaluation came to: counts, rates with their intervals, a comparison with plain cosine.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cache::learn::bounds;

/// Confidence left out on either side of the interval.
const TAIL: f64 = 0.025;
/// Thresholds of plain cosine that are compared with: from 0.70 to 1.00.
const SWEPT: std::ops::RangeInclusive<u16> = 70..=100;

/// One question that was asked, and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What kind of question it is.
    pub tag: String,
    /// There is an answer it may share.
    pub answerable: bool,
    /// What the cache served; `None` for a miss.
    pub served: Option<Outcome>,
    /// What the nearest stored question would have been, by cosine alone.
    pub nearest: Option<(f32, Outcome)>,
}

/// Whether a served answer was the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Right,
    /// It was another question's.
    Wrong,
}

/// Counts of one tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tagged {
    /// Questions.
    pub rows: u64,
    /// Served.
    pub served: u64,
    /// Served wrongly.
    pub wrong: u64,
}

/// What plain cosine does at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Baseline {
    /// Least cosine.
    pub threshold: f64,
    /// Served.
    pub served: u64,
    /// Served wrongly.
    pub wrong: u64,
    /// Served rightly, of those that could be.
    pub true_served: u64,
}

/// The whole evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Questions asked.
    pub rows: u64,
    /// Served from the cache.
    pub served: u64,
    /// Served wrongly.
    pub wrong: u64,
    /// `wrong / served`; 0 when nothing was served.
    pub wrong_rate: f64,
    /// 95 % interval of the wrong rate, after Clopper and Pearson.
    pub wrong_rate_ci95: [f64; 2],
    /// Questions for which there is an answer they may share.
    pub true_pairs: u64,
    /// Of those, served rightly.
    pub true_served: u64,
    /// `true_served / true_pairs`; 0 when there are none.
    pub coverage: f64,
    /// By kind of question.
    pub by_tag: BTreeMap<String, Tagged>,
    /// Plain cosine at rising thresholds.
    pub baseline: Vec<Baseline>,
}

impl Report {
    /// Counts.
    pub fn of(asked: &[Asked]) -> Report {
        let count = |which: &dyn Fn(&&Asked) -> bool| asked.iter().filter(which).count() as u64;
        let served = count(&|one| one.served.is_some());
        let wrong = count(&|one| one.served == Some(Outcome::Wrong));
        let true_pairs = count(&|one| one.answerable);
        let true_served = count(&|one| one.served == Some(Outcome::Right));
        let mut by_tag: BTreeMap<String, Tagged> = BTreeMap::new();
        for one in asked {
            let tagged = by_tag.entry(one.tag.clone()).or_default();
            tagged.rows += 1;
            tagged.served += u64::from(one.served.is_some());
            tagged.wrong += u64::from(one.served == Some(Outcome::Wrong));
        }
        Report {
            rows: asked.len() as u64,
            served,
            wrong,
            wrong_rate: share(wrong, served),
            wrong_rate_ci95: interval(wrong, served),
            true_pairs,
            true_served,
            coverage: share(true_served, true_pairs),
            by_tag,
            baseline: SWEPT.map(|percent| plain(asked, percent)).collect(),
        }
    }
}

/// Plain cosine at one threshold, in hundredths.
fn plain(asked: &[Asked], percent: u16) -> Baseline {
    let threshold = f64::from(percent) / 100.0;
    let served: Vec<Outcome> = asked
        .iter()
        .filter_map(|one| one.nearest)
        .filter(|(similarity, _)| f64::from(*similarity) >= threshold)
        .map(|(_, outcome)| outcome)
        .collect();
    let wrong = served.iter().filter(|one| **one == Outcome::Wrong).count() as u64;
    Baseline {
        threshold,
        served: served.len() as u64,
        wrong,
        true_served: served.len() as u64 - wrong,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn interval(wrong: u64, served: u64) -> [f64; 2] {
    let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let (wrong, served) = (narrow(wrong), narrow(served));
    [
        bounds::lower(wrong, served, 1.0 - TAIL),
        bounds::upper(wrong, served, 1.0 - TAIL),
    ]
}
