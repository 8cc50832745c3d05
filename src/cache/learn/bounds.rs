//! Exact confidence bounds of a rate seen in a sample (Clopper and Pearson, "The use of confidence
//! or fiducial limits illustrated in the case of the binomial", Biometrika 26, 1934).
//!
//! Each bound is the rate at which what was seen would only just not be surprising; it is found by
//! bisection on the exact tail of the binomial distribution. Samples have some hundreds of members,
//! so the sums are short.

/// Halvings of [0, 1]; the bounds are exact to 1e-12.
const HALVINGS: u32 = 40;

/// The rate is at most this with `confidence` (one-sided, in (0, 1)), after `wrong` of `seen`.
///
/// 1 when nothing was seen.
pub fn upper(wrong: u32, seen: u32, confidence: f64) -> f64 {
    if wrong >= seen {
        return 1.0;
    }
    let surprise = 1.0 - confidence;
    bisect(|rate| at_most(wrong, seen, rate) > surprise)
}

/// The rate is at least this with `confidence` (one-sided, in (0, 1)), after `wrong` of `seen`.
///
/// 0 when nothing was seen, or nothing wrong.
pub fn lower(wrong: u32, seen: u32, confidence: f64) -> f64 {
    let wrong = wrong.min(seen);
    let Some(fewer) = wrong.checked_sub(1) else {
        return 0.0;
    };
    let surprise = 1.0 - confidence;
    bisect(|rate| 1.0 - at_most(fewer, seen, rate) < surprise)
}

/// The largest rate for which `holds`, which must hold up to some rate and not beyond.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Probability of at most `wrong` among `seen` at a rate strictly between 0 and 1.
fn at_most(wrong: u32, seen: u32, rate: f64) -> f64 {
    let odds = rate.ln() - (-rate).ln_1p();
    // logarithm of the probability of exactly `k`, for k = 0, 1, …
    let mut exactly = f64::from(seen) * (-rate).ln_1p();
    let mut sum = exactly.exp();
    for k in 0..wrong {
        exactly += (f64::from(seen - k) / f64::from(k + 1)).ln() + odds;
        sum += exactly.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(given: f64, expected: f64) {
        assert!((given - expected).abs() < 5e-5, "{given} is not {expected}");
    }

    #[test]
    fn the_bounds_are_those_of_the_tables() {
        // two-sided 95 % intervals of the standard tables are one-sided 97.5 % bounds
        near(lower(1, 10, 0.975), 0.00253);
        near(upper(1, 10, 0.975), 0.44502);
        near(lower(5, 20, 0.975), 0.08657);
        near(upper(5, 20, 0.975), 0.49105);
    }

    #[test]
    fn nothing_wrong_in_n_is_the_rule_of_three() {
        // closed form: 1 - 0.05^(1/n), about 3/n
        for seen in [1, 59, 299, 512] {
            let closed = 1.0 - 0.05_f64.powf(1.0 / f64::from(seen));
            near(upper(0, seen, 0.95), closed);
            near(lower(0, seen, 0.95), 0.0);
        }
        assert!(upper(0, 299, 0.95) <= 0.01 && upper(0, 298, 0.95) > 0.01);
    }

    #[test]
    fn nothing_seen_says_nothing() {
        near(upper(0, 0, 0.95), 1.0);
        near(lower(0, 0, 0.95), 0.0);
        near(upper(7, 7, 0.95), 1.0);
    }

    proptest! {
        #[test]
        fn the_rate_seen_lies_between_its_bounds(seen in 1_u32..600, share in 0.0_f64..=1.0) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
            let wrong = (f64::from(seen) * share) as u32;
            let rate = f64::from(wrong) / f64::from(seen);
            let (low, high) = (lower(wrong, seen, 0.95), upper(wrong, seen, 0.95));
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            prop_assert!(low <= rate && rate <= high, "{low} {rate} {high}");
        }

        #[test]
        fn more_of_the_same_narrows_the_bounds(seen in 1_u32..200, wrong in 0_u32..200) {
            let wrong = wrong.min(seen);
            prop_assert!(upper(wrong * 2, seen * 2, 0.95) <= upper(wrong, seen, 0.95) + 1e-9);
            prop_assert!(lower(wrong * 2, seen * 2, 0.95) >= lower(wrong, seen, 0.95) - 1e-9);
        }
    }
}
