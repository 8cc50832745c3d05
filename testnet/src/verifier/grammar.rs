//! Pairs of questions made by rules: rewordings that keep the answer, and small edits that change it.
//!
//! Every rule is written here, so whatever is learned from the pairs is free of anybody's data.

mod tables;

use rand::RngExt as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use tables::{ACTS, ASPECTS, COMPARED, DEFINE, DIRECTED, FRAMES, HOW, SCOPES, THINGS};

/// Two texts and whether they may share an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The stored question.
    pub a: String,
    /// The new one.
    pub b: String,
    /// They may.
    pub same: bool,
}

/// As many pairs as asked for, about two in five of them rewordings.
pub fn pairs(rng: &mut SmallRng, count: usize) -> Vec<Pair> {
    (0..count)
        .map(|_| {
            let pair = match rng.random_range(0..100) {
                0..45 => act(rng),
                45..65 => definition(rng),
                65..85 => aspect(rng),
                85..92 => comparison(rng),
                _ => direction(rng),
            };
            Pair {
                a: framed(rng, pair.a),
                b: framed(rng, pair.b),
                same: pair.same,
            }
        })
        .collect()
}

fn pick<T: Copy>(rng: &mut SmallRng, among: &[T]) -> T {
    // tables are not empty
    *among.choose(rng).unwrap_or(&among[0])
}

fn framed(rng: &mut SmallRng, text: String) -> String {
    pick(rng, FRAMES).replace("{}", &text)
}

/// A how-to, with its scope kept, added, dropped or exchanged; its verb or its object exchanged.
fn act(rng: &mut SmallRng) -> Pair {
    let (verbs, objects) = pick(rng, ACTS);
    let object = pick(rng, objects);
    let scope = rng.random_bool(0.45).then(|| pick(rng, SCOPES));
    let say = |rng: &mut SmallRng, verbs: &[&str], object: &str, scope: Option<&str>| {
        let act = format!("{} {object}", pick(rng, verbs));
        let act = scope.map_or(act.clone(), |scope| format!("{act} {scope}"));
        pick(rng, HOW).replace("{}", &act)
    };
    let a = say(rng, verbs, object, scope);
    let (other_verbs, other_objects) = pick(rng, ACTS);
    let (b, same) = match rng.random_range(0..10) {
        0..5 => (say(rng, verbs, object, scope), true),
        5 | 6 => {
            let other = pick(rng, objects);
            (say(rng, verbs, other, scope), other == object)
        }
        7 => {
            let other = Some(pick(rng, SCOPES)).filter(|_| scope.is_none() || rng.random());
            (say(rng, verbs, object, other), other == scope)
        }
        8 => {
            let shares = other_objects.contains(&object) && other_verbs[0] != verbs[0];
            let opposite: Vec<_> = ACTS
                .iter()
                .filter(|(v, o)| v[0] != verbs[0] && o.contains(&object))
                .collect();
            let chosen = opposite.choose(rng).map_or(other_verbs, |(v, _)| *v);
            (
                say(rng, chosen, object, scope),
                !shares && chosen[0] == verbs[0],
            )
        }
        _ => {
            let other = pick(rng, other_objects);
            (say(rng, other_verbs, other, scope), false)
        }
    };
    let same = same || a == b;
    Pair { a, b, same }
}

fn definition(rng: &mut SmallRng) -> Pair {
    let (thing, sibling) = pick(rng, THINGS);
    let a = pick(rng, DEFINE).replace("{}", thing);
    let (about, same) = match rng.random_range(0..10) {
        0..6 => (thing, true),
        6..9 => (sibling, false),
        _ => (pick(rng, THINGS).1, false),
    };
    let b = match !same || rng.random_bool(0.8) {
        true => pick(rng, DEFINE).replace("{}", about),
        // the same thing, but something else is asked of it
        false => {
            let aspect = pick(rng, ASPECTS);
            return Pair {
                a,
                b: pick(rng, aspect).replace("{}", about),
                same: false,
            };
        }
    };
    Pair { a, b, same }
}

fn aspect(rng: &mut SmallRng) -> Pair {
    let (thing, sibling) = pick(rng, THINGS);
    let row = pick(rng, ASPECTS);
    let a = pick(rng, row).replace("{}", thing);
    let (b, same) = match rng.random_range(0..10) {
        0..5 => (pick(rng, row).replace("{}", thing), true),
        5 | 6 => (pick(rng, row).replace("{}", sibling), false),
        _ => {
            let other = pick(rng, ASPECTS);
            (
                pick(rng, other).replace("{}", thing),
                std::ptr::eq(row, other),
            )
        }
    };
    Pair { a, b, same }
}

fn comparison(rng: &mut SmallRng) -> Pair {
    let (x, y) = pick(rng, THINGS);
    let say = |rng: &mut SmallRng, x: &str, y: &str| {
        pick(rng, COMPARED).replace("{a}", x).replace("{b}", y)
    };
    let a = say(rng, x, y);
    if rng.random_bool(0.6) {
        return Pair {
            a,
            b: say(rng, x, y),
            same: true,
        };
    }
    let other = pick(rng, THINGS).0;
    Pair {
        a,
        b: say(rng, x, other),
        same: other == y,
    }
}

fn direction(rng: &mut SmallRng) -> Pair {
    let (frame, ends) = pick(rng, DIRECTED);
    let (x, y) = pick(rng, ends);
    let say = |x: &str, y: &str| frame.replace("{a}", x).replace("{b}", y);
    match rng.random_range(0..10) {
        0..6 => Pair {
            a: say(x, y),
            b: say(y, x),
            same: false,
        },
        6..8 => Pair {
            a: say(x, y),
            b: format!("Tell me: {}", say(x, y)),
            same: true,
        },
        _ => {
            let (v, w) = pick(rng, ends);
            Pair {
                a: say(x, y),
                b: say(v, w),
                same: (x, y) == (v, w),
            }
        }
    }
}
