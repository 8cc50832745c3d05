//! Lays two texts beside each other word piece by word piece and measures how well they cover one
//! another, after the late interaction of ColBERT (Khattab and Zaharia, 2020).
//!
//! The pieces are compared by the embedder's last layer, where a piece's row knows the role it plays
//! in its sentence: two texts of the same words in other roles cover each other worse than a
//! rewording does.

use crate::cache::embed::States;

/// Numbers [`measures`] gives.
pub const MEASURES: usize = 15;
/// Pieces of one text that are compared; longer texts are not judged.
pub const MOST_PIECES: usize = 128;
/// Ids below are marks, single signs and pieces of no language.
const FIRST_WORD: u32 = 1996;
/// Weight of signs.
const LIGHT: f32 = 0.1;
/// The vocabulary is sorted by frequency; a piece of this rank weighs nothing.
const COMMON: f32 = 1500.0;

/// One text's rows, scaled to length 1.
struct Side<'a> {
    ids: &'a [u32],
    weights: Vec<f32>,
    rows: Vec<Vec<f32>>,
    total: f32,
}

impl<'a> Side<'a> {
    /// Without the model's own marks at both ends. `None` when nothing or too much is left.
    fn of(states: &'a States) -> Option<Side<'a>> {
        let last = states.tokens.len().checked_sub(1)?;
        let ids = states.tokens.get(1..last)?;
        if ids.is_empty() || ids.len() > MOST_PIECES {
            return None;
        }
        let weights: Vec<f32> = ids.iter().map(|id| weight(*id)).collect();
        let total = weights.iter().sum();
        let rows = states.rows().skip(1).take(ids.len()).map(unit).collect();
        Some(Side {
            ids,
            weights,
            rows,
            total,
        })
    }
}

fn unit(row: &[f32]) -> Vec<f32> {
    let length = row
        .iter()
        .map(|x| x * x)
        .sum::<f32>()
        .sqrt()
        .max(f32::MIN_POSITIVE);
    row.iter().map(|x| x / length).collect()
}

/// Rare pieces carry the subject: the logarithm of the piece's rank.
#[expect(clippy::cast_precision_loss, reason = "ids stay below 2^24")]
fn weight(id: u32) -> f32 {
    if id < FIRST_WORD {
        return LIGHT;
    }
    (id as f32 / COMMON).ln()
}

/// How one side is covered by the other.
struct Cover {
    /// Weighted mean of each piece's best similarity.
    mean: f32,
    /// The two least similarities among pieces that carry a subject.
    least: [f32; 2],
    /// Weight of what has no equal piece, and its share of the side.
    lost: f32,
    share: f32,
    /// The worst likeness that a piece without its equal finds among pieces without theirs.
    stranger: f32,
    /// The least and the mean likeness of pieces to their equals.
    kept: [f32; 2],
    /// Where each piece has its best match.
    matched: Vec<usize>,
}

fn cover(side: &Side<'_>, other: &Side<'_>, likeness: impl Fn(usize, usize) -> f32) -> Cover {
    let has_equal = |id: u32, among: &Side<'_>| among.ids.contains(&id);
    let strangers: Vec<usize> = (0..other.ids.len())
        .filter(|at| !has_equal(other.ids[*at], side))
        .collect();
    let mut cover = Cover {
        mean: 0.0,
        least: [1.0; 2],
        lost: 0.0,
        share: 0.0,
        stranger: 1.0,
        kept: [1.0, 0.0],
        matched: Vec::with_capacity(side.ids.len()),
    };
    let (mut equals, mut kept) = (0.0_f32, 0.0_f32);
    for (at, id) in side.ids.iter().enumerate() {
        let (mut best, mut place) = (-1.0_f32, 0);
        for other_at in 0..other.ids.len() {
            let like = likeness(at, other_at);
            if like > best {
                (best, place) = (like, other_at);
            }
        }
        let weight = side.weights[at];
        cover.matched.push(place);
        cover.mean += weight * best;
        if weight > LIGHT {
            if best < cover.least[0] {
                cover.least = [best, cover.least[0]];
            } else if best < cover.least[1] {
                cover.least[1] = best;
            }
        }
        let same = (0..other.ids.len()).filter(|other_at| other.ids[*other_at] == *id);
        match same.map(|other_at| likeness(at, other_at)).reduce(f32::max) {
            Some(like) => {
                cover.kept[0] = cover.kept[0].min(like);
                kept += like * weight;
                equals += weight;
            }
            None => {
                cover.lost += weight;
                let nearest = strangers
                    .iter()
                    .map(|x| likeness(at, *x))
                    .fold(0.0, f32::max);
                if weight > LIGHT {
                    cover.stranger = cover.stranger.min(nearest);
                }
            }
        }
    }
    let total = side.total.max(f32::MIN_POSITIVE);
    cover.mean /= total;
    cover.share = cover.lost / total;
    cover.kept[1] = if equals > 0.0 { kept / equals } else { 0.0 };
    cover
}

/// The measures of a pair, symmetric, each between about -1 and 3. `None` when one of the texts is empty or too
/// long. Takes the product of the two lengths times the width of a row.
pub fn measures(a: &States, b: &States) -> Option<[f32; MEASURES]> {
    let (a, b) = (Side::of(a)?, Side::of(b)?);
    let table: Vec<Vec<f32>> = a
        .rows
        .iter()
        .map(|x| b.rows.iter().map(|y| dot(x, y)).collect())
        .collect();
    let one = cover(&a, &b, |x, y| table[x][y]);
    let two = cover(&b, &a, |y, x| table[x][y]);
    Some([
        one.mean.min(two.mean),
        one.mean.max(two.mean),
        one.least[0].min(two.least[0]),
        one.least[0].max(two.least[0]),
        one.least[1].min(two.least[1]),
        one.least[1].max(two.least[1]),
        one.kept[0].min(two.kept[0]),
        f32::midpoint(one.kept[1], two.kept[1]),
        squeezed(one.lost.min(two.lost)),
        squeezed(one.lost.max(two.lost)),
        one.share.max(two.share),
        one.share.min(two.share),
        one.stranger.min(two.stranger),
        one.stranger.max(two.stranger),
        f32::midpoint(crossings(&one.matched, &a), crossings(&two.matched, &b)),
    ])
}

fn squeezed(weight: f32) -> f32 {
    weight.ln_1p()
}

/// The share of pairs of pieces whose best matches stand the other way round, by weight.
fn crossings(matched: &[usize], side: &Side<'_>) -> f32 {
    let (mut crossed, mut all) = (0.0_f32, 0.0_f32);
    for x in 0..matched.len() {
        for y in x + 1..matched.len() {
            let weight = side.weights[x] * side.weights[y];
            all += weight;
            if matched[x] > matched[y] {
                crossed += weight;
            }
        }
    }
    if all > 0.0 { crossed / all } else { 0.0 }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}
