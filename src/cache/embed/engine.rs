//! Tokenizer, model and pooling together: texts in, vectors out, on the caller's thread.

use std::sync::Arc;
use std::time::Duration;

use super::EmbedError;
use super::bert::{Bert, Level, Precision, Scratch};
use super::model::Model;
use super::pooling::Pooling;
use super::probes;
use super::states::States;
use super::tokenize::WordPieces;
use super::vector::Vector;
use super::workers::{Ask, Meaning, Outcome, Want};
use crate::config::node::EmbedderPrecision;
use crate::types::Moment;

/// Rows in one forward pass: enough that reading the weights no longer matters, and a bounded
/// buffer. One longer text is a pass of its own.
const ROWS: usize = 1024;
/// Largest difference that bytes may make: one minus the cosine between a text's vector from bytes
/// and from floats.
pub(super) const COARSEST: f32 = 0.005;
/// Largest difference of a component of the known vector.
const NEAR: f32 = 1e-3;

/// Shared by the workers.
#[derive(Debug)]
pub(super) struct Engine {
    pieces: WordPieces,
    bert: Bert,
    pooling: Pooling,
}

/// An engine, and what was found out about it.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) engine: Engine,
    /// Whether the weights are bytes.
    pub(super) bytes: bool,
    /// Largest cosine error of the built-in sentences, against floats; 0 for floats.
    pub(super) coarseness: f32,
}

impl Engine {
    /// Loads a model with floats, then with bytes where asked, and keeps what is good enough.
    pub(super) fn load(model: &Model, wanted: EmbedderPrecision) -> Result<Loaded, EmbedError> {
        let floats = Engine::with(model, Precision::F32)?;
        let expected = floats.check(model)?;
        let level = Level::best();
        let worthwhile = match wanted {
            EmbedderPrecision::Auto => level != Level::Portable,
            EmbedderPrecision::F32 => false,
            EmbedderPrecision::Int8 => true,
        };
        let kept = |engine| Loaded {
            engine,
            bytes: false,
            coarseness: 0.0,
        };
        if !worthwhile {
            return Ok(kept(floats));
        }
        let bytes = Engine {
            pieces: floats.pieces.clone(),
            bert: Bert::load(&model.weights, &model.shape, Precision::Int8(level))?,
            pooling: model.pooling,
        };
        let coarseness = bytes.coarseness(&expected)?;
        if coarseness <= COARSEST {
            return Ok(Loaded {
                engine: bytes,
                bytes: true,
                coarseness,
            });
        }
        match wanted {
            EmbedderPrecision::Int8 => Err(EmbedError::TooCoarse { off: coarseness }),
            EmbedderPrecision::Auto | EmbedderPrecision::F32 => Ok(kept(floats)),
        }
    }

    /// A model with its weights kept in one way, unchecked.
    pub(super) fn with(model: &Model, precision: Precision) -> Result<Engine, EmbedError> {
        Ok(Engine {
            pieces: WordPieces::load(&model.tokenizer, &model.shape)?,
            bert: Bert::load(&model.weights, &model.shape, precision)?,
            pooling: model.pooling,
        })
    }

    /// Its tokenizer.
    pub(super) fn words(&self) -> WordPieces {
        self.pieces.clone()
    }

    /// What every text becomes, in their order.
    pub(super) fn embed(&self, asks: &[Ask<'_>], scratch: &mut Scratch) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(asks.len());
        // Texts read and not yet run: their places and tokens.
        let mut ready: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut rows = 0;
        for (place, ask) in asks.iter().enumerate() {
            outcomes.push(Ok(None));
            match self.pieces.encode(ask.text) {
                Ok(Some(tokens)) => {
                    if rows + tokens.len() > ROWS {
                        self.run(asks, &mut ready, &mut outcomes, scratch);
                        rows = 0;
                    }
                    rows += tokens.len();
                    ready.push((place, tokens));
                }
                Ok(None) => {}
                Err(error) => outcomes[place] = Err(error.into()),
            }
        }
        self.run(asks, &mut ready, &mut outcomes, scratch);
        outcomes
    }

    /// One forward pass over all that is ready.
    fn run(
        &self,
        asks: &[Ask<'_>],
        ready: &mut Vec<(usize, Vec<u32>)>,
        outcomes: &mut [Outcome],
        scratch: &mut Scratch,
    ) {
        let texts: Vec<&[u32]> = ready.iter().map(|(_, tokens)| tokens.as_slice()).collect();
        let width = self.bert.shape().hidden;
        let Some(mut hidden) = self.bert.forward(&texts, scratch) else {
            ready.clear();
            return;
        };
        for (place, tokens) in ready.drain(..) {
            let (rows, rest) = hidden.split_at(tokens.len() * width);
            hidden = rest;
            let vector = self.pooling.vector(rows, width).map(Arc::new);
            outcomes[place] = Ok(vector.map(|vector| match asks[place].want {
                Want::Vector => Meaning::Vector(vector),
                Want::States => Meaning::States(Arc::new(States {
                    vector,
                    tokens,
                    hidden: rows.into(),
                })),
            }));
        }
    }

    /// The word pieces of a text.
    pub(super) fn tokens(&self, text: &str) -> Result<Option<Vec<u32>>, EmbedError> {
        Ok(self.pieces.encode(text)?)
    }

    /// One forward pass over texts as word pieces.
    pub(super) fn vectors_of(
        &self,
        texts: &[Vec<u32>],
        scratch: &mut Scratch,
    ) -> Option<Vec<Vector>> {
        let width = self.bert.shape().hidden;
        let mut hidden = self.bert.forward(texts, scratch)?;
        let vectors = texts.iter().map(|text| {
            let (rows, rest) = hidden.split_at(text.len() * width);
            hidden = rest;
            self.pooling.vector(rows, width)
        });
        vectors.collect()
    }

    /// Runs a short text a few times; what the last run took.
    pub(super) fn warm_up(&self) -> (&'static str, Duration) {
        let (text, mut scratch) = (probes::SENTENCES[1], Scratch::default());
        let ask = Ask {
            text,
            want: Want::Vector,
        };
        let runs = (0..3).map(|_| {
            let started = Moment::now();
            self.embed(&[ask], &mut scratch);
            Moment::now().since(started)
        });
        (text, runs.last().unwrap_or_default())
    }

    /// The vectors of the built-in sentences; `None` for those that the model cannot take whole.
    fn probe(&self) -> Result<Vec<Option<Arc<Vector>>>, EmbedError> {
        let want = Want::Vector;
        let asks = probes::SENTENCES.map(|text| Ask { text, want });
        let outcomes = self.embed(&asks, &mut Scratch::default());
        let vectors = outcomes.into_iter().map(|outcome| {
            Ok(match outcome? {
                Some(Meaning::Vector(vector)) => Some(vector),
                Some(Meaning::States(_)) | None => None,
            })
        });
        vectors.collect()
    }

    /// The vectors of the built-in sentences, after a look at the first, which every model can take
    /// and whose vector is known for a known model.
    pub(super) fn check(&self, model: &Model) -> Result<Vec<Option<Arc<Vector>>>, EmbedError> {
        let vectors = self.probe()?;
        let Some(Some(first)) = vectors.first() else {
            return Err(EmbedError::SelfCheck { off: f32::INFINITY });
        };
        let pairs = probes::FIRST_COMPONENTS.iter().zip(first.as_slice());
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if model.known && off >= NEAR {
            Err(EmbedError::SelfCheck { off })
        } else {
            Ok(vectors)
        }
    }

    /// The largest cosine error of the built-in sentences.
    fn coarseness(&self, expected: &[Option<Arc<Vector>>]) -> Result<f32, EmbedError> {
        let found = self.probe()?;
        let pairs = expected.iter().zip(&found);
        let errors = pairs.map(|pair| match pair {
            (Some(a), Some(b)) => 1.0 - a.dot(b),
            (None, None) => 0.0,
            // Too large a number for floats or for bytes alone.
            (Some(_), None) | (None, Some(_)) => f32::INFINITY,
        });
        Ok(errors.fold(0.0, f32::max))
    }
}

#[cfg(test)]
impl Engine {
    /// Another model of the same shape.
    pub(super) fn swap_first_layers(&mut self) {
        self.bert.swap_first_layers();
    }
}
