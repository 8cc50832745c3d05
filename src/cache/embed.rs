//! Text → vector: all-MiniLM-L6-v2, or another BERT from a directory, in this process, on threads
//! of its own.
//!
//! ```no_run
//! # use std::{path::Path, time::Duration};
//! # use llm_router::{cache::embed::Embedder, types::Moment};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let embedder = Embedder::load(Path::new("models/all-MiniLM-L6-v2"), 0)?;
//! let deadline = Moment::now() + Duration::from_millis(50);
//! if let Some(vector) = embedder.embed("What is Python?", deadline).await? {
//!     assert!((vector.dot(&vector) - 1.0).abs() < 1e-4);
//! }
//! # Ok(()) }
//! ```
//!
//! Every error here means the same to the cache: no semantic tier for this request.
//! Not here: GPUs, and encoders of another build than BERT's.

mod bert;
mod calibration;
mod encoder;
mod engine;
mod memo;
mod model;
mod pooling;
mod probes;
mod shape;
mod states;
mod tokenize;
mod vector;
pub mod weights;
mod workers;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::node::EmbedderPrecision;
use crate::types::Moment;
use bert::Scratch;
use engine::{Engine, Loaded};
use memo::{MEMO_ENTRIES, Memo, key_of};
use model::Model;
use tokenize::WordPieces;
use workers::{Ask, Meaning, Outcome, Plan, QUEUE_JOBS, Want, Work, Workers};

pub use bert::ModelError;
pub use calibration::Calibration;
pub use encoder::Encoder;
pub use states::States;
pub use tokenize::TokenizeError;
pub use vector::Vector;
pub use weights::WeightsError;

/// Longest wait for one vector, however far the caller's deadline is.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Why there is no vector.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The queue is full, or too long for the time there is; treat the request as a miss.
    #[error("embedder is busy")]
    Busy,
    /// The time was over first.
    #[error("embedding did not finish in time")]
    Late,
    /// The worker panicked over this text.
    #[error("embedding worker failed")]
    Lost,
    /// The weights are absent or not the ones we know.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The weights cannot be read as this model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer cannot be read, or could not split a text.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// The model computes something else than it should on this processor.
    #[error("embedder failed its self-check: a known text came out {off} away from its vector")]
    SelfCheck {
        /// Largest difference of a component.
        off: f32,
    },
    /// Bytes were asked for, and make vectors too far from those of floats.
    #[error("the model loses too much as int8: a known text came out at a cosine error of {off}")]
    TooCoarse {
        /// One minus the cosine.
        off: f32,
    },
    /// A worker thread could not be started.
    #[error("cannot start an embedding thread")]
    Threads(#[source] io::Error),
}

/// The embedder's handle. Cheap to clone; its threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Embedder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    workers: Workers,
    memo: Mutex<Memo>,
    words: WordPieces,
    space: String,
    calibration: Calibration,
    dimensions: usize,
    bytes: bool,
    coarseness: f32,
}

/// Which model, and how it is run.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// `all-MiniLM-L6-v2`, whose files are known by their digests, or any other name for whatever
    /// BERT or XLM-R model is in the directory.
    pub model: &'a str,
    /// Holds `model.safetensors`, `tokenizer.json` and `config.json`.
    pub dir: &'a Path,
    /// Threads; 0 is one per core.
    pub workers: usize,
    /// How weights are kept.
    pub precision: EmbedderPrecision,
}

impl Embedder {
    /// all-MiniLM-L6-v2 from `dir`, as [`Embedder::open`] does, at the precision that suits the
    /// processor.
    ///
    /// # Errors
    /// Like [`Embedder::open`].
    pub fn load(dir: &Path, workers: usize) -> Result<Self, EmbedError> {
        Embedder::open(Options {
            model: weights::MODEL_NAME,
            dir,
            workers,
            precision: EmbedderPrecision::Auto,
        })
    }

    /// Checks the model's files, loads them once, embeds a few known texts to see that they work,
    /// and starts the threads.
    ///
    /// Blocks for about half a second, with some 250 MB more in use for that time: call it before
    /// serving or through `spawn_blocking`. Of all-MiniLM-L6-v2, takes about 25 MB of memory as
    /// bytes or 95 MB as floats, and up to 6 MB more per worker once long texts have come by.
    ///
    /// # Errors
    /// What is missing, unreadable or not the model it should be, and whatever the check at load
    /// finds.
    pub fn open(options: Options<'_>) -> Result<Self, EmbedError> {
        let model = Model::find(options.model, options.dir)?;
        let Loaded {
            engine,
            bytes,
            coarseness,
        } = Engine::load(&model, options.precision)?;
        let engine = Arc::new(engine);
        let (tried, words) = (engine.warm_up(), engine.words());
        let making = Arc::clone(&engine);
        let make = move || -> Work {
            let (engine, mut scratch) = (Arc::clone(&making), Scratch::default());
            Box::new(move |asks: &[Ask<'_>]| engine.embed(asks, &mut scratch))
        };
        let plan = Plan {
            workers: options.workers,
            capacity: QUEUE_JOBS,
            tried,
        };
        Ok(Embedder {
            inner: Arc::new(Inner {
                workers: Workers::start(plan, make)?,
                memo: Mutex::new(Memo::new(MEMO_ENTRIES)),
                words,
                space: if bytes {
                    format!("{}+int8", model.name)
                } else {
                    model.name
                },
                calibration: model.calibration,
                dimensions: model.shape.hidden,
                bytes,
                coarseness,
            }),
        })
    }

    /// The vector of `text`, or `None` when it is longer than the model takes (256
    /// word pieces for all-MiniLM-L6-v2).
    ///
    /// Waits at most until `deadline` (and never over ten seconds). What was embedded lately is
    /// remembered, for everyone: where callers must not learn from the time an answer takes what
    /// others have asked, use [`Embedder::embed_for`].
    pub async fn embed(
        &self,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<Vector>>, EmbedError> {
        self.embed_for("", text, deadline).await
    }

    /// Like [`Embedder::embed`], remembering only within `scope` (a tenant's id).
    pub async fn embed_for(
        &self,
        scope: &str,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<Vector>>, EmbedError> {
        let key = key_of(scope, text);
        if let Some(meaning) = self.inner.memo.lock().get(&key) {
            return Ok(meaning);
        }
        let meaning = self.embed_uncached(text, deadline).await?;
        self.inner.memo.lock().put(key, meaning.clone());
        Ok(meaning)
    }

    /// The text's vector is remembered within this scope.
    pub fn remembers(&self, scope: &str, text: &str) -> bool {
        self.inner.memo.lock().get(&key_of(scope, text)).is_some()
    }

    /// Like [`Embedder::embed`], neither asking nor filling the memory of recent texts: for
    /// measuring.
    pub async fn embed_uncached(
        &self,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<Vector>>, EmbedError> {
        Ok(match self.submit(text, Want::Vector, deadline).await? {
            Some(Meaning::Vector(vector)) => Some(vector),
            Some(Meaning::States(states)) => Some(Arc::clone(&states.vector)),
            None => None,
        })
    }

    /// How many word pieces the model reads of `text`, the marks at both ends included; `None` when
    /// it is longer than the model takes.
    ///
    /// # Errors
    /// The tokenizer cannot split it.
    pub fn pieces(&self, text: &str) -> Result<Option<u64>, EmbedError> {
        let ids = self.inner.words.encode(text)?;
        Ok(ids.map(|ids| ids.len() as u64))
    }

    /// The last layer's rows of `text` and its vector, or `None` when it is longer than the
    /// model takes. Runs the model each time; the vector is remembered as [`Embedder::embed_for`]
    /// remembers it, the rows (1.5 KB per word piece) are not.
    pub async fn states(
        &self,
        scope: &str,
        text: &str,
        deadline: Moment,
    ) -> Result<Option<Arc<States>>, EmbedError> {
        let states = match self.submit(text, Want::States, deadline).await? {
            Some(Meaning::States(states)) => Some(states),
            Some(Meaning::Vector(_)) | None => None,
        };
        let vector = states.as_ref().map(|states| Arc::clone(&states.vector));
        self.inner.memo.lock().put(key_of(scope, text), vector);
        Ok(states)
    }

    async fn submit(&self, text: &str, want: Want, deadline: Moment) -> Outcome {
        let deadline = deadline.min(Moment::now() + MAX_WAIT);
        self.inner.workers.submit(text, want, deadline).await
    }

    /// The name of the vector space: model, beginning of its digest, and `+int8` where the weights
    /// are bytes. Vectors of different spaces do not compare: those of bytes and of floats differ by
    /// as much as a threshold is precise.
    pub fn space(&self) -> &str {
        &self.inner.space
    }

    /// What similarity means in this space.
    pub fn calibration(&self) -> Calibration {
        self.inner.calibration
    }

    /// Numbers per vector.
    pub fn dimensions(&self) -> usize {
        self.inner.dimensions
    }

    /// Whether the weights are kept and multiplied as bytes.
    pub fn is_int8(&self) -> bool {
        self.inner.bytes
    }

    /// Largest cosine error that bytes made in the check at load, 0 to 0.005; 0 for floats.
    pub fn coarseness(&self) -> f32 {
        self.inner.coarseness
    }

    /// Texts waiting for a worker, at most 256.
    pub fn waiting(&self) -> usize {
        self.inner.workers.waiting()
    }

    /// Worker panics survived since start.
    pub fn panics(&self) -> u64 {
        self.inner.workers.panics()
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
