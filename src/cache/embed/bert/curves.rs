//! The two curves of the forward pass, branch-free so that loops over them become vector code.

/// `erf(z)` as `z · P(z²) / Q(z²)`: a minimax fit on |z| ≤ 3.92, beyond which erf is 1 in f32.
/// Absolute error below 5e-7.
const ERF_P: [f32; 6] = [
    1.128_379,
    0.192_765_15,
    0.053_060_63,
    0.003_868_375,
    0.000_287_480_65,
    2.034_729e-6,
];
const ERF_Q: [f32; 6] = [
    1.0,
    0.504_165_35,
    0.115_085_07,
    0.015_172_39,
    0.001_188_127_1,
    3.807_064_8e-5,
];
const ERF_LIMIT: f32 = 3.92;

/// `2ʳ` for |r| ≤ ½ by its Taylor series: the powers of ln 2 over the factorials.
const EXP2: [f32; 7] = [
    1.0,
    0.693_147_2,
    0.240_226_5,
    0.055_504_11,
    0.009_618_129,
    0.001_333_355_8,
    0.000_154_035_3,
];
/// Adding it to a small number leaves that number, rounded to an integer, in the lowest bits.
const ROUNDER: f32 = 12_582_912.0;
/// Below this the result would leave the normal range; softmax has long stopped caring.
const EXP_FLOOR: f32 = -80.0;

#[inline(always)]
fn horner<const N: usize>(coefficients: [f32; N], at: f32) -> f32 {
    coefficients
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * at + coefficient)
}

/// The error function, to 5e-7.
#[inline(always)]
pub(super) fn erf(z: f32) -> f32 {
    let z = z.clamp(-ERF_LIMIT, ERF_LIMIT);
    let square = z * z;
    z * horner(ERF_P, square) / horner(ERF_Q, square)
}

/// The exact GELU: `x · ½ (1 + erf(x / √2))`, which is what this model was trained with.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `eˣ` for x ≤ 0. The relative error grows from 3e-7 near zero to 8e-6 at -80; flat below that.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let power = x.max(EXP_FLOOR) * std::f32::consts::LOG2_E;
    let rounded = power + ROUNDER;
    let fraction = power - (rounded - ROUNDER);
    let mantissa = horner(EXP2, fraction);
    f32::from_bits(mantissa.to_bits().wrapping_add(rounded.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The series whose terms are all positive, in f64; converges for every z used here.
    fn erf_series(z: f64) -> f64 {
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= 2.0 * z * z / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt() * (-z * z).exp()
    }

    fn steps(from: i16, to: i16) -> impl Iterator<Item = f32> {
        (from * 100..=to * 100).map(|step| f32::from(step) / 100.0)
    }

    #[test]
    fn erf_stays_within_half_a_millionth() {
        for z in steps(-5, 5) {
            let error = (f64::from(erf(z)) - erf_series(f64::from(z))).abs();
            assert!(error < 5e-7, "erf({z}) is off by {error}");
        }
    }

    #[test]
    fn gelu_is_the_erf_one_and_not_the_tanh_one() {
        for x in steps(-8, 8) {
            let wide = f64::from(x);
            let exact = 0.5 * wide * (1.0 + erf_series((wide / 2.0_f64.sqrt()).clamp(-5.5, 5.5)));
            assert!((f64::from(gelu(x)) - exact).abs() < 2e-6, "gelu({x})");
        }
    }

    #[test]
    fn exp_keeps_its_relative_error_down_to_the_floor() {
        for x in steps(-79, 0) {
            let exact = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) / exact - 1.0).abs() < 8e-6,
                "exp({x}) = {}",
                exp(x)
            );
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-30);
        assert!((exp(0.0) - 1.0).abs() < f32::EPSILON);
    }
}
