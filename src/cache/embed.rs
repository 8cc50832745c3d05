//! Text → vector: all-MiniLM-L6-v2, in this process, on threads of its own.
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
//! Not here: padding, micro-batches (a single text already runs at the speed memory allows), GPUs,
//! other models.

mod bert;
mod memo;
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

use crate::types::Moment;
use bert::{Bert, Scratch};
use memo::{MEMO_ENTRIES, Memo, key_of};
use tokenize::WordPieces;
use workers::{Meaning, Outcome, QUEUE_JOBS, Want, Work, Workers};

pub use bert::ModelError;
pub use states::States;
pub use tokenize::TokenizeError;
pub use vector::{DIMENSIONS, Vector};
pub use weights::WeightsError;

/// Longest wait for one vector, however far the caller's deadline is.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Model name and the beginning of its weights' SHA-256: vectors of two spaces never meet.
const SPACE: &str = "all-MiniLM-L6-v2@53aa5117";

/// A text whose vector is known, embedded once at load.
const PROBE: &str = "What is Python?";
/// Its first components, computed with another implementation in f64.
const PROBE_COMPONENTS: [f32; 8] = [
    -0.064_772_2,
    0.036_463,
    -0.034_866_7,
    0.054_480_9,
    -0.023_313_8,
    -0.130_353_1,
    0.001_853_6,
    0.036_724_9,
];

/// Why there is no vector.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The queue is full; treat the request as a miss.
    #[error("embedder queue is full")]
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
}

impl Embedder {
    /// Checks the weights in `dir` against their digests, loads them once, embeds a known text to
    /// see that they work, and starts `workers` threads (0: one per core).
    ///
    /// Blocks for about half a second: call it before serving or through `spawn_blocking`. Takes
    /// about 95 MB of memory, and 5 MB more per worker once long texts have come by.
    pub fn load(dir: &Path, workers: usize) -> Result<Self, EmbedError> {
        let verified = weights::verify(dir)?;
        let engine = Arc::new(Engine {
            pieces: WordPieces::load(&verified.tokenizer())?,
            bert: Bert::load(&verified.model())?,
        });
        engine.check()?;
        let make = move || -> Work {
            let (engine, mut scratch) = (Arc::clone(&engine), Scratch::new());
            Box::new(move |text, want| engine.embed(text, want, &mut scratch))
        };
        let workers = Workers::start(workers, QUEUE_JOBS, make)?;
        Ok(Embedder {
            inner: Arc::new(Inner {
                workers,
                memo: Mutex::new(Memo::new(MEMO_ENTRIES)),
            }),
        })
    }

    /// The vector of `text`, or `None` when it is longer than 256 word pieces.
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

    /// The last layer's rows of `text` and its vector, or `None` when it is longer than 256 word
    /// pieces. Runs the model each time; the vector is remembered as [`Embedder::embed_for`]
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

    /// The name of the vector space: model and weights. Vectors of different spaces do not compare.
    pub fn space(&self) -> &'static str {
        SPACE
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

/// Tokenizer and model, shared by the workers.
struct Engine {
    pieces: WordPieces,
    bert: Bert,
}

impl Engine {
    fn embed(&self, text: &str, want: Want, scratch: &mut Scratch) -> Outcome {
        let Some(tokens) = self.pieces.encode(text)? else {
            return Ok(None);
        };
        let Some(hidden) = self.bert.forward(&tokens, scratch) else {
            return Ok(None);
        };
        let Some(vector) = bert::mean(hidden).map(Arc::new) else {
            return Ok(None);
        };
        Ok(Some(match want {
            Want::Vector => Meaning::Vector(vector),
            Want::States => Meaning::States(Arc::new(States {
                vector,
                tokens,
                hidden: hidden.into(),
            })),
        }))
    }

    /// Embeds the probe and compares.
    fn check(&self) -> Result<(), EmbedError> {
        let found = match self.embed(PROBE, Want::Vector, &mut Scratch::new())? {
            Some(Meaning::Vector(vector)) => Some(vector),
            Some(Meaning::States(_)) | None => None,
        };
        let found = found.as_ref().map_or(&[][..], |vector| vector.as_slice());
        let differences = PROBE_COMPONENTS
            .iter()
            .zip(found)
            .map(|(a, b)| (a - b).abs());
        let off = differences.fold(0.0, f32::max);
        if found.len() == DIMENSIONS && off < 1e-3 {
            Ok(())
        } else {
            Err(EmbedError::SelfCheck { off })
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
