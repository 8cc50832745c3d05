//! Every machine against the portable one, bit for bit, and that one against the definition.

use proptest::prelude::*;

use super::*;

fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap()) / 32768.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn apply(level: Level, weights: &[f32], bias: &[f32], x: &[f32], finish: Finish) -> Vec<f32> {
    let depth = weights.len() / bias.len();
    let linear = Linear::pack(level, weights, bias, depth);
    let mut out = vec![f32::NAN; x.len() / depth * bias.len()];
    linear.apply(x, &mut Inputs::default(), &mut out, finish);
    out
}

fn here() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_here())
}

fn all_agree(weights: &[f32], bias: &[f32], x: &[f32]) {
    for finish in [Finish::Keep, Finish::Gelu] {
        let expected = apply(Level::Portable, weights, bias, x, finish);
        for level in here() {
            let found = apply(level, weights, bias, x, finish);
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(
                    found.to_bits(),
                    expected.to_bits(),
                    "{level:?}, {place}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn extremes_overflow_on_no_machine() {
    let (depth, outputs) = (1536, 32);
    // All products at their largest, in every combination of signs.
    for (up, down) in [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)] {
        let weights = vec![up; depth * outputs];
        let x: Vec<f32> = (0..depth)
            .map(|i| if i % 97 == 0 { -down } else { down })
            .collect();
        all_agree(&weights, &vec![0.25; outputs], &x);
    }
}

#[test]
fn every_number_of_rows_and_an_odd_panel_agree() {
    let (depth, outputs) = (48, 48);
    let weights = noise(3, depth * outputs);
    for rows in 1..=27 {
        all_agree(&weights, &noise(4, outputs), &noise(5, rows * depth));
    }
}

#[test]
fn rows_of_zeros_and_layers_of_zeros_give_the_bias() {
    let bias = noise(6, 16);
    for (weights, x) in [
        (vec![0.0; 256], noise(7, 16)),
        (noise(8, 256), vec![0.0; 16]),
    ] {
        for level in here() {
            assert_eq!(apply(level, &weights, &bias, &x, Finish::Keep), bias);
        }
    }
}

#[test]
fn one_row_far_from_the_others_does_not_coarsen_them() {
    let (depth, outputs) = (64, 16);
    let (weights, bias) = (noise(9, depth * outputs), vec![0.0; outputs]);
    let calm = noise(10, depth);
    let mut x = calm.clone();
    x.extend(noise(11, depth).iter().map(|value| value * 1000.0));
    for level in here() {
        let both = apply(level, &weights, &bias, &x, Finish::Keep);
        let alone = apply(level, &weights, &bias, &calm, Finish::Keep);
        assert_eq!(both[..outputs], alone);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_shape_agrees_and_is_near_the_definition(
        rows in 1_usize..30, depth in 1_usize..9, panels in 1_usize..5, shift in -3.0_f32..3.0, seed: u64,
    ) {
        let (depth, outputs) = (depth * 16, panels * 16);
        let weights = noise(seed, depth * outputs);
        let bias = noise(seed ^ 1, outputs);
        let x: Vec<f32> = noise(seed ^ 2, rows * depth).iter().map(|value| value + shift).collect();
        all_agree(&weights, &bias, &x);
        let found = apply(Level::best(), &weights, &bias, &x, Finish::Keep);
        let reach = f64::from(shift.abs()) + 1.0;
        for (row, found) in x.chunks(depth).zip(found.chunks(outputs)) {
            for (output, found) in found.iter().enumerate() {
                let weights = &weights[output * depth..][..depth];
                let pairs = row.iter().zip(weights);
                let exact = pairs.fold(f64::from(bias[output]), |sum, (x, w)| {
                    sum + f64::from(*x) * f64::from(*w)
                });
                // Half a step of each factor, for every product, all in one direction.
                let worst = f64::from(u8::try_from(depth).unwrap_or(u8::MAX))
                    * (reach / 254.0 + reach * 2.0 / 255.0);
                prop_assert!((f64::from(*found) - exact).abs() < worst, "{found} for {exact}");
            }
        }
    }
}
