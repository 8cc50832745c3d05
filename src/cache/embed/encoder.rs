//! The model on the caller's own thread, for work that comes in bulk: evaluation, benches.

use super::bert::Scratch;
use super::engine::{Engine, Loaded};
use super::model::Model;
use super::vector::Vector;
use super::workers::{Ask, Meaning, Want};
use super::{EmbedError, Options};

/// One thread's model. Nothing is queued or remembered.
#[derive(Debug)]
pub struct Encoder {
    engine: Engine,
    scratch: Scratch,
}

impl Encoder {
    /// Loads and checks the model as [`Embedder::open`](super::Embedder::open) does;
    /// [`Options::workers`] does not matter.
    ///
    /// # Errors
    /// Like [`Embedder::open`](super::Embedder::open).
    pub fn open(options: Options<'_>) -> Result<Encoder, EmbedError> {
        let model = Model::find(options.model, options.dir)?;
        let Loaded { engine, .. } = Engine::load(&model, options.precision)?;
        Ok(Encoder {
            engine,
            scratch: Scratch::default(),
        })
    }

    /// The vectors of `texts` in their order, `None` for those the model cannot take whole.
    ///
    /// # Errors
    /// When a text cannot be split into word pieces.
    pub fn encode(&mut self, texts: &[&str]) -> Result<Vec<Option<Vector>>, EmbedError> {
        let want = Want::Vector;
        let asks: Vec<Ask<'_>> = texts.iter().map(|text| Ask { text, want }).collect();
        let outcomes = self.engine.embed(&asks, &mut self.scratch);
        let vectors = outcomes.into_iter().map(|outcome| {
            Ok(match outcome? {
                Some(Meaning::Vector(vector)) => Some((*vector).clone()),
                Some(Meaning::States(states)) => Some((*states.vector).clone()),
                None => None,
            })
        });
        vectors.collect()
    }

    /// The word pieces of a text, the marks at both ends included.
    ///
    /// # Errors
    /// When the text cannot be split.
    pub fn tokens(&self, text: &str) -> Result<Option<Vec<u32>>, EmbedError> {
        self.engine.tokens(text)
    }

    /// Like [`Encoder::encode`], from word pieces, all in one forward pass. `None` when one of the
    /// texts is empty, too long or not of this model's words.
    pub fn encode_tokens(&mut self, texts: &[Vec<u32>]) -> Option<Vec<Vector>> {
        self.engine.vectors_of(texts, &mut self.scratch)
    }
}
