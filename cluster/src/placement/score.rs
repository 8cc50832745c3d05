//! Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer and
//! Schomaker 2005): every member draws a number for a place, the highest owns it, and each member
//! wins in proportion to its weight.
//!
//! Only integer steps and the four basic operations of IEEE 754, which every machine rounds alike:
//! two nodes that know the same members agree to the last bit.

/// Steele, Lea and Flood's SplitMix64: one step's output for this state.
pub(super) const fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ (state >> 31)
}

/// A number that depends on both.
pub(super) const fn join(a: u64, b: u64) -> u64 {
    mix(mix(a) ^ b)
}

/// What a member of this weight scores at a place: `weight / -ln(u)` for a uniform `u` drawn from
/// the two. Positive; 0 when the weight is.
pub(super) fn score(member: u64, place: u64, weight: u32) -> f64 {
    let drawn = join(member, place) >> 11;
    f64::from(weight) / minus_ln(drawn)
}

/// `-ln((n + 1/2) / 2^53)` for n below 2^53, to about eleven digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "an integer of at most 54 bits, of which the last is lost: half a unit of a draw"
)]
fn minus_ln(n: u64) -> f64 {
    let odd = 2 * n + 1;
    let mut exponent = 63 - odd.leading_zeros();
    let mut mantissa = odd as f64 / (1_u64 << exponent) as f64;
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln(m) = 2 artanh((m - 1) / (m + 1)), a fast series for m near 1.
    let x = (mantissa - 1.0) / (mantissa + 1.0);
    let square = x * x;
    let mut sum = 0.0;
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    let below = f64::from(54 - exponent) * std::f64::consts::LN_2 - 2.0 * x * sum;
    // u is below 1, so its logarithm is below 0; rounding must not say otherwise.
    below.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_the_known_one() {
        for n in [0, 1, 77, 1 << 20, (1 << 52) + 12_345, (1 << 53) - (1 << 30)] {
            let known = -((n as f64 + 0.5) / (1_u64 << 53) as f64).ln();
            let off = (minus_ln(n) - known).abs();
            assert!(off <= 1e-10 * known, "{n}: {off} of {known}");
        }
        assert!(minus_ln((1 << 53) - 1) > 0.0);
    }

    #[test]
    fn members_win_by_weight() {
        let weights = [1_u32, 2, 5];
        let mut won = [0_u32; 3];
        for place in 0..40_000 {
            let scores = [0_usize, 1, 2].map(|at| score(at as u64 + 1, place, weights[at]));
            let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            won[best.unwrap()] += 1;
        }
        for (won, weight) in won.iter().zip(weights) {
            let off = f64::from(*won) / (5000.0 * f64::from(weight)) - 1.0;
            assert!(off.abs() < 0.05, "weight {weight} won {won}");
        }
    }
}
