//! Other models from a directory: small ones of random weights, against a forward pass written out
//! in f64.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use serde_json::json;

use super::*;

const HIDDEN: usize = 32;
const HEADS: usize = 2;
const WIDE: usize = 64;
const LAYERS: usize = 2;
const POSITIONS: usize = 40;
/// The first four are the marks that XLM-R has; `[CLS]` and `[SEP]` are theirs for BERT.
const WORDS: [&str; 12] = [
    "<s>", "<pad>", "</s>", "<unk>", "the", "cat", "sat", "on", "mat", "where", "is", "?",
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bert,
    XlmRoberta,
}

type Weights = HashMap<String, (Vec<usize>, Vec<f32>)>;

fn weights(kind: Kind) -> Weights {
    let mut all = Weights::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut add = |name: String, shape: &[usize], around: f32| {
        let values = (0..shape.iter().product()).map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(99);
            around + (f32::from(u16::try_from(state >> 48).unwrap()) / 65536.0 - 0.5) * 0.5
        });
        let values = values.collect();
        all.insert(name, (shape.to_vec(), values));
    };
    let kinds = if kind == Kind::Bert { 2 } else { 1 };
    add(
        "embeddings.word_embeddings.weight".into(),
        &[WORDS.len(), HIDDEN],
        0.0,
    );
    add(
        "embeddings.position_embeddings.weight".into(),
        &[POSITIONS, HIDDEN],
        0.0,
    );
    add(
        "embeddings.token_type_embeddings.weight".into(),
        &[kinds, HIDDEN],
        0.0,
    );
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    for layer in 0..LAYERS {
        let at = format!("encoder.layer.{layer}");
        for (name, out, depth) in [
            ("attention.self.query", HIDDEN, HIDDEN),
            ("attention.self.key", HIDDEN, HIDDEN),
            ("attention.self.value", HIDDEN, HIDDEN),
            ("attention.output.dense", HIDDEN, HIDDEN),
            ("intermediate.dense", WIDE, HIDDEN),
            ("output.dense", HIDDEN, WIDE),
        ] {
            add(format!("{at}.{name}.weight"), &[out, depth], 0.0);
            add(format!("{at}.{name}.bias"), &[out], 0.0);
        }
        norms.push(format!("{at}.attention.output.LayerNorm"));
        norms.push(format!("{at}.output.LayerNorm"));
    }
    for name in norms {
        add(format!("{name}.weight"), &[HIDDEN], 1.0);
        add(format!("{name}.bias"), &[HIDDEN], 0.0);
    }
    all
}

/// A directory with the model's files, as they are published.
fn directory(kind: Kind, pooling: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let prefix = if kind == Kind::Bert {
        "bert."
    } else {
        "roberta."
    };
    let tensors: HashMap<String, Tensor> = weights(kind)
        .into_iter()
        .map(|(name, (shape, values))| {
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            (format!("{prefix}{name}"), tensor)
        })
        .collect();
    candle_core::safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
    let (model_type, model) = match kind {
        Kind::Bert => (
            "bert",
            json!({"type": "WordLevel", "unk_token": "<unk>",
                   "vocab": WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id)).collect::<HashMap<_, _>>()}),
        ),
        Kind::XlmRoberta => (
            "xlm-roberta",
            json!({"type": "Unigram", "unk_id": 3, "byte_fallback": false,
                   "vocab": WORDS.iter().enumerate().map(|(id, word)| match id {
                       0..4 => json!([word, 0.0]),
                       _ => json!([format!("\u{2581}{word}"), -2.0]),
                   }).collect::<Vec<_>>()}),
        ),
    };
    let split = match kind {
        Kind::Bert => json!({"type": "Whitespace"}),
        Kind::XlmRoberta => {
            json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": true})
        }
    };
    let special = |id: usize| json!({"id": WORDS[id], "ids": [id], "tokens": [WORDS[id]]});
    let piece = |id: usize| json!({"SpecialToken": {"id": WORDS[id], "type_id": 0}});
    let sequence = json!({"Sequence": {"id": "A", "type_id": 0}});
    write(
        &dir,
        "tokenizer.json",
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": split, "decoder": null, "model": model,
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [piece(0), sequence, piece(2)], "pair": [piece(0), sequence, piece(2)],
                "special_tokens": {WORDS[0]: special(0), WORDS[2]: special(2)}
            }
        }),
    );
    write(
        &dir,
        "config.json",
        &json!({
            "model_type": model_type, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS, "intermediate_size": WIDE, "vocab_size": WORDS.len(),
            "max_position_embeddings": POSITIONS, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
            "type_vocab_size": if kind == Kind::Bert { 2 } else { 1 }, "pad_token_id": 1
        }),
    );
    std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
    write(&dir, "1_Pooling/config.json", &json!({pooling: true}));
    dir
}

fn write(dir: &tempfile::TempDir, name: &str, value: &serde_json::Value) {
    std::fs::write(dir.path().join(name), value.to_string()).unwrap();
}

/// The definition of the model, in f64, one number at a time.
mod reference {
    use super::*;

    pub(super) struct Model(pub(super) Weights);

    type Rows = Vec<Vec<f64>>;

    impl Model {
        fn row(&self, name: &str, row: usize) -> Vec<f64> {
            let (shape, values) = &self.0[name];
            let width = *shape.last().unwrap();
            let row = &values[row * width..][..width];
            row.iter().map(|value| f64::from(*value)).collect()
        }

        fn dense(&self, name: &str, x: &[f64]) -> Vec<f64> {
            let bias = self.row(&format!("{name}.bias"), 0);
            let outputs = bias.iter().enumerate().map(|(output, bias)| {
                let weights = self.row(&format!("{name}.weight"), output);
                bias + weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
            });
            outputs.collect()
        }

        fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
            let (scale, shift) = (
                self.row(&format!("{name}.weight"), 0),
                self.row(&format!("{name}.bias"), 0),
            );
            let count = f64::from(u32::try_from(x.len()).unwrap());
            let mean = x.iter().sum::<f64>() / count;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            let by = 1.0 / (variance + 1e-5).sqrt();
            let triples = x.iter().zip(scale).zip(shift);
            triples
                .map(|((x, scale), shift)| (x - mean) * by * scale + shift)
                .collect()
        }

        fn attention(&self, at: &str, x: &Rows) -> Rows {
            let part = |name: &str| -> Rows {
                let name = format!("{at}.attention.self.{name}");
                x.iter().map(|row| self.dense(&name, row)).collect()
            };
            let (q, k, v) = (part("query"), part("key"), part("value"));
            let head = HIDDEN / HEADS;
            let context = q.iter().map(|q| {
                let mut out = Vec::new();
                for from in (0..HIDDEN).step_by(head) {
                    let scores: Vec<f64> = k
                        .iter()
                        .map(|k| (from..from + head).map(|d| q[d] * k[d]).sum::<f64>())
                        .map(|score| (score / f64::from(u32::try_from(head).unwrap()).sqrt()).exp())
                        .collect();
                    let total: f64 = scores.iter().sum();
                    out.extend((from..from + head).map(|d| {
                        scores
                            .iter()
                            .zip(&v)
                            .map(|(s, v)| s / total * v[d])
                            .sum::<f64>()
                    }));
                }
                out
            });
            context.collect()
        }

        pub(super) fn rows(&self, ids: &[u32], first_position: usize) -> Rows {
            let sum = |a: &[f64], b: &[f64]| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| a + b).collect()
            };
            let kind = self.row("embeddings.token_type_embeddings.weight", 0);
            let rows = ids.iter().enumerate().map(|(place, id)| {
                let word = self.row(
                    "embeddings.word_embeddings.weight",
                    usize::try_from(*id).unwrap(),
                );
                let place = self.row(
                    "embeddings.position_embeddings.weight",
                    first_position + place,
                );
                self.norm("embeddings.LayerNorm", &sum(&sum(&word, &place), &kind))
            });
            let mut x: Rows = rows.collect();
            for layer in 0..LAYERS {
                let at = format!("encoder.layer.{layer}");
                let context = self.attention(&at, &x);
                let rows = x.iter().zip(&context).map(|(x, context)| {
                    let name = format!("{at}.attention.output");
                    let out = self.dense(&format!("{name}.dense"), context);
                    let x = self.norm(&format!("{name}.LayerNorm"), &sum(x, &out));
                    let mut wide = self.dense(&format!("{at}.intermediate.dense"), &x);
                    wide.iter_mut()
                        .for_each(|x| *x = *x * 0.5 * (1.0 + erf(*x / 2_f64.sqrt())));
                    let out = self.dense(&format!("{at}.output.dense"), &wide);
                    self.norm(&format!("{at}.output.LayerNorm"), &sum(&x, &out))
                });
                x = rows.collect();
            }
            x
        }
    }

    /// The series whose terms are all positive.
    fn erf(z: f64) -> f64 {
        let (mut term, mut sum) = (z, z);
        for n in 1..200 {
            term *= 2.0 * z * z / (2.0 * f64::from(n) + 1.0);
            sum += term;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt() * (-z * z).exp()
    }
}

fn open(dir: &tempfile::TempDir, precision: EmbedderPrecision) -> Result<Embedder, EmbedError> {
    Embedder::open(Options {
        model: "tiny",
        dir: dir.path(),
        workers: 1,
        precision,
    })
}

async fn agrees(kind: Kind, pooling: &str) {
    let dir = directory(kind, pooling);
    let embedder = open(&dir, EmbedderPrecision::F32).unwrap();
    assert_eq!(embedder.dimensions(), HIDDEN);
    let model = reference::Model(weights(kind));
    let first_position = if kind == Kind::Bert { 0 } else { 2 };
    for (text, ids) in [
        ("the cat sat on the mat", vec![0, 4, 5, 6, 7, 4, 8, 2]),
        ("where is the cat ?", vec![0, 9, 10, 4, 5, 11, 2]),
        ("the dog", vec![0, 4, 3, 2]),
    ] {
        let states = embedder.states("", text, soon()).await.unwrap().unwrap();
        assert_eq!(states.tokens, ids, "{text}");
        let expected = model.rows(&ids, first_position);
        for (found, expected) in states.rows().zip(&expected) {
            for (found, expected) in found.iter().zip(expected) {
                let off = (f64::from(*found) - expected).abs();
                assert!(off < 1e-4, "{text}: {found} for {expected}");
            }
        }
        let mut sums = expected[0].clone();
        if pooling == "pooling_mode_mean_tokens" {
            for row in &expected[1..] {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        }
        let length = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
        for (found, sum) in states.vector.as_slice().iter().zip(sums) {
            assert!((f64::from(*found) - sum / length).abs() < 1e-4, "{text}");
        }
    }
}

#[tokio::test]
async fn a_bert_of_any_size_is_computed_by_its_definition() {
    agrees(Kind::Bert, "pooling_mode_mean_tokens").await;
    agrees(Kind::Bert, "pooling_mode_cls_token").await;
}

#[tokio::test]
async fn an_xlm_r_counts_positions_from_its_padding_and_splits_by_unigrams() {
    agrees(Kind::XlmRoberta, "pooling_mode_mean_tokens").await;
}

#[tokio::test]
async fn a_foreign_model_as_bytes_is_a_space_of_its_own_near_the_other() {
    let dir = directory(Kind::Bert, "pooling_mode_mean_tokens");
    let floats = open(&dir, EmbedderPrecision::F32).unwrap();
    let bytes = open(&dir, EmbedderPrecision::Int8).unwrap();
    assert!(floats.space().starts_with("tiny@"), "{}", floats.space());
    assert_eq!(bytes.space(), format!("{}+int8", floats.space()));
    let text = "where is the cat ?";
    let cosine = vector(&floats, text)
        .await
        .dot(&*vector(&bytes, text).await);
    assert!(1.0 - cosine <= engine::COARSEST, "{cosine}");
}

#[test]
fn other_weights_words_or_pooling_are_another_space() {
    let space = |dir: &tempfile::TempDir| {
        let embedder = open(dir, EmbedderPrecision::F32).unwrap();
        embedder.space().to_owned()
    };
    let mean = directory(Kind::Bert, "pooling_mode_mean_tokens");
    let first = directory(Kind::Bert, "pooling_mode_cls_token");
    let other = directory(Kind::XlmRoberta, "pooling_mode_mean_tokens");
    let spaces = [space(&mean), space(&first), space(&other)];
    assert!(
        spaces[0] != spaces[1] && spaces[0] != spaces[2],
        "{spaces:?}"
    );
    assert_eq!(
        spaces[0],
        space(&directory(Kind::Bert, "pooling_mode_mean_tokens"))
    );
}

#[test]
fn thresholds_come_from_the_directory_or_are_strict() {
    let dir = directory(Kind::Bert, "pooling_mode_mean_tokens");
    let calibration = |dir| open(dir, EmbedderPrecision::F32).map(|it| it.calibration());
    assert_eq!(calibration(&dir).unwrap(), Calibration::UNKNOWN);
    let own = json!({"similarity_threshold": 0.9, "candidate_floor": 0.7});
    write(&dir, "calibration.json", &own);
    assert_eq!(
        calibration(&dir).unwrap(),
        Calibration {
            similarity_threshold: 0.9,
            candidate_floor: 0.7
        }
    );
    for wrong in [
        json!({"similarity_threshold": 0.7, "candidate_floor": 0.9}),
        json!({"similarity_threshold": 1.7, "candidate_floor": 0.9}),
        json!({"similarity_threshold": 0.7}),
    ] {
        write(&dir, "calibration.json", &wrong);
        assert!(matches!(
            calibration(&dir),
            Err(EmbedError::Model(ModelError::Config { .. }))
        ));
    }
}

#[test]
fn what_this_engine_does_not_run_is_refused_by_name() {
    let refused = |key: &str, value: serde_json::Value| {
        let dir = directory(Kind::Bert, "pooling_mode_mean_tokens");
        let file = dir.path().join("config.json");
        let mut config: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(&file, config.to_string()).unwrap();
        open(&dir, EmbedderPrecision::F32).unwrap_err().to_string()
    };
    assert!(refused("model_type", json!("t5")).contains("model_type t5"));
    assert!(refused("hidden_act", json!("relu")).contains("hidden_act relu"));
    assert!(refused("num_attention_heads", json!(3)).contains("multiples of 16"));
    assert!(refused("num_attention_heads", json!(0)).contains("zero"));
    assert!(refused("vocab_size", json!(5)).contains("12 words"));
    assert!(refused("num_hidden_layers", json!(3)).contains("encoder.layer.2"));
    let dir = directory(Kind::Bert, "pooling_mode_max_tokens");
    assert!(
        open(&dir, EmbedderPrecision::F32)
            .unwrap_err()
            .to_string()
            .contains("pooling")
    );
}
