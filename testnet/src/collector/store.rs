//! The latest traces, in memory, within limits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::span::Span;

/// What is kept in memory; the oldest traces go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Spans of all traces.
    pub spans: usize,
    /// Spans of one trace; further ones are counted only.
    pub per_trace: usize,
    /// Bytes of all spans, about.
    pub bytes: usize,
    /// Bytes of the file before it is begun anew; the one before is kept beside it.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            spans: 200_000,
            per_trace: 2000,
            bytes: 256 << 20,
            file_bytes: 256 << 20,
        }
    }
}

/// A trace as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// In the order they came.
    pub spans: Vec<Span>,
    /// Spans there was no room for.
    pub left_out: u64,
}

/// One line of a list of traces.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Listed {
    pub(super) trace: String,
    pub(super) spans: usize,
    pub(super) nodes: usize,
    /// The earliest span's name.
    pub(super) name: String,
    pub(super) start_ns: u64,
    pub(super) duration_ns: u64,
}

/// All traces.
#[derive(Debug)]
pub(super) struct Store {
    limits: Limits,
    shelf: Mutex<Shelf>,
    journal: Option<Mutex<Journal>>,
}

#[derive(Debug, Default)]
struct Shelf {
    traces: HashMap<String, Trace>,
    /// Trace ids, the one that came first in front.
    order: VecDeque<String>,
    spans: usize,
    bytes: usize,
    received: u64,
    evicted: u64,
}

#[derive(Debug, Default)]
struct Trace {
    /// By id: a span that an exporter sends twice is one.
    places: HashMap<String, usize>,
    stored: Stored,
    bytes: usize,
}

impl Store {
    /// With a journal, if there is to be one; what it holds is read.
    pub(super) fn open(limits: Limits, file: Option<&Path>) -> anyhow::Result<Self> {
        let mut shelf = Shelf::default();
        let journal = match file {
            Some(file) => {
                Journal::read(file, |span| shelf.add(span, &limits))?;
                Some(Mutex::new(Journal::open(file, limits.file_bytes)?))
            }
            None => None,
        };
        Ok(Store {
            limits,
            shelf: Mutex::new(shelf),
            journal,
        })
    }

    /// Keeps spans. Blocks while they are written.
    pub(super) fn add(&self, spans: Vec<Span>) {
        if let Some(journal) = &self.journal {
            journal.lock().write(&spans);
        }
        let mut shelf = self.shelf.lock();
        for span in spans {
            shelf.add(span, &self.limits);
        }
    }

    pub(super) fn trace(&self, id: &str) -> Option<Stored> {
        let shelf = self.shelf.lock();
        shelf.traces.get(id).map(|trace| trace.stored.clone())
    }

    /// The latest traces, newest first.
    pub(super) fn latest(&self, most: usize) -> Vec<Listed> {
        let shelf = self.shelf.lock();
        let latest = shelf.order.iter().rev().take(most);
        latest
            .filter_map(|id| Some(listed(id, &shelf.traces.get(id)?.stored)))
            .collect()
    }

    /// Spans that came so far.
    pub(super) fn received(&self) -> u64 {
        self.shelf.lock().received
    }

    /// Figures about itself.
    pub(super) fn figures(&self) -> BTreeMap<&'static str, u64> {
        // first of all: a slow disk holds the journal, and must not hold the shelf as well
        let lost = self
            .journal
            .as_ref()
            .map_or(0, |journal| journal.lock().lost());
        let shelf = self.shelf.lock();
        BTreeMap::from([
            ("traces", shelf.traces.len() as u64),
            ("spans", shelf.spans as u64),
            ("bytes", shelf.bytes as u64),
            ("received", shelf.received),
            ("evicted", shelf.evicted),
            ("not_written", lost),
        ])
    }
}

impl Shelf {
    fn add(&mut self, span: Span, limits: &Limits) {
        self.received += 1;
        let bytes = span.bytes();
        if !self.traces.contains_key(&span.trace) {
            self.order.push_back(span.trace.clone());
        }
        let trace = self.traces.entry(span.trace.clone()).or_default();
        let (spans, before) = (trace.stored.spans.len(), trace.bytes);
        trace.add(span, bytes, limits.per_trace);
        self.spans += trace.stored.spans.len() - spans;
        self.bytes = (self.bytes + trace.bytes).saturating_sub(before);
        while self.spans > limits.spans || self.bytes > limits.bytes {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some(gone) = self.traces.remove(&oldest) {
                self.spans -= gone.stored.spans.len();
                self.bytes = self.bytes.saturating_sub(gone.bytes);
                self.evicted += gone.stored.spans.len() as u64;
            }
        }
    }
}

impl Trace {
    fn add(&mut self, span: Span, bytes: usize, most: usize) {
        let spans = &mut self.stored.spans;
        if let Some(known) = self.places.get(&span.id).and_then(|at| spans.get_mut(*at)) {
            self.bytes = (self.bytes + bytes).saturating_sub(known.bytes());
            *known = span;
            return;
        }
        if spans.len() >= most {
            self.stored.left_out += 1;
            return;
        }
        self.places.insert(span.id.clone(), spans.len());
        self.bytes += bytes;
        spans.push(span);
    }
}

fn listed(id: &str, stored: &Stored) -> Listed {
    let spans = || stored.spans.iter();
    let first = spans().min_by_key(|span| span.start_ns);
    let start_ns = first.map_or(0, |span| span.start_ns);
    let end = spans().map(|span| span.end_ns).max().unwrap_or(start_ns);
    let mut nodes: Vec<&str> = spans().map(|span| span.node.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    Listed {
        trace: id.to_owned(),
        spans: stored.spans.len(),
        nodes: nodes.len(),
        name: first.map_or_else(String::new, |span| span.name.clone()),
        start_ns,
        duration_ns: end.saturating_sub(start_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(trace: &str, id: usize) -> Span {
        Span {
            trace: trace.to_owned(),
            id: format!("{id:016x}"),
            ..Span::default()
        }
    }

    fn store(limits: Limits) -> Store {
        Store::open(limits, None).unwrap()
    }

    #[test]
    fn the_oldest_traces_make_room_for_new_ones() {
        let store = store(Limits {
            spans: 10,
            ..Limits::default()
        });
        for number in 0..100 {
            store.add((0..2).map(|id| span(&format!("t{number}"), id)).collect());
        }
        let figures = store.figures();
        assert_eq!((figures["spans"], figures["traces"]), (10, 5));
        assert_eq!(figures["evicted"], 190);
        assert!(store.trace("t94").is_none() && store.trace("t95").is_some());
        assert_eq!(store.latest(2)[0].trace, "t99");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let store = store(Limits {
            bytes: 10_000,
            ..Limits::default()
        });
        for number in 0..100 {
            let mut fat = span(&format!("t{number}"), 1);
            fat.name = "x".repeat(1000);
            store.add(vec![fat]);
        }
        assert!(store.figures()["bytes"] <= 10_000);
        assert!(store.figures()["traces"] >= 5);
    }

    #[test]
    fn one_trace_cannot_take_everything_and_what_it_lacks_is_counted() {
        let store = store(Limits {
            per_trace: 3,
            ..Limits::default()
        });
        store.add((0..8).map(|id| span("t", id)).collect());
        let stored = store.trace("t").unwrap();
        assert_eq!((stored.spans.len(), stored.left_out), (3, 5));
    }

    #[test]
    fn a_span_that_is_sent_twice_is_one() {
        let store = store(Limits::default());
        let mut again = span("t", 1);
        again.name = "later".to_owned();
        store.add(vec![span("t", 1), again]);
        let stored = store.trace("t").unwrap();
        assert_eq!(stored.spans.len(), 1);
        assert_eq!(stored.spans[0].name, "later");
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spans.jsonl");
        let limits = Limits {
            file_bytes: 2000,
            ..Limits::default()
        };
        let store = Store::open(limits, Some(&file)).unwrap();
        for number in 0..50 {
            store.add(vec![span(&format!("t{number}"), 1)]);
        }
        drop(store);
        // the file is bounded: what came first is gone from it
        let sizes = [&file, &file.with_extension("jsonl.1")]
            .map(|file| std::fs::metadata(file).unwrap().len());
        assert!(sizes.iter().all(|size| *size <= 2000), "{sizes:?}");
        let again = Store::open(limits, Some(&file)).unwrap();
        assert!(again.trace("t49").is_some() && again.trace("t0").is_none());
    }
}
