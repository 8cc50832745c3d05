//! Which call of an answer a fragment belongs to.
//!
//! The index says so. Some servers leave it out, or say 0 for every call: there a new call is one
//! that comes with an id and a name of its own.

use crate::dialect::whole::MAX_CALLS;

/// What a fragment says about its call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    /// The index it gives.
    pub(super) index: Option<u64>,
    /// Its place among the fragments of its chunk, which stands for an index that is left out.
    pub(super) place: u64,
    /// Empty for none.
    pub(super) id: &'a str,
    /// Empty for none.
    pub(super) name: &'a str,
}

/// The calls seen so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    known: Vec<Known>,
}

#[derive(Debug)]
pub(super) struct Known {
    given: u64,
    /// The index that is this call's alone.
    pub(super) number: u64,
    pub(super) id: String,
    pub(super) name: String,
}

impl Calls {
    /// The place of the fragment's call, which may begin with it; `None` when there are too many.
    pub(super) fn place(&mut self, told: &Told<'_>) -> Option<usize> {
        let given = told.index.unwrap_or(told.place);
        let meant = |call: &Known| call.id == told.id && told.index.is_none_or(|i| i == call.given);
        let by_id = self.known.iter().rposition(meant);
        let place = by_id
            .filter(|_| !told.id.is_empty())
            .or_else(|| self.known.iter().rposition(|call| call.given == given))
            .filter(|place| !self.known[*place].is_another(told));
        let Some(place) = place else {
            return self.begin(given, told);
        };
        let call = &mut self.known[place];
        if call.id.is_empty() {
            told.id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            told.name.clone_into(&mut call.name);
        }
        Some(place)
    }

    /// The call at a place.
    pub(super) fn get(&self, place: usize) -> Option<&Known> {
        self.known.get(place)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn begin(&mut self, given: u64, told: &Told<'_>) -> Option<usize> {
        if self.known.len() >= MAX_CALLS as usize {
            return None;
        }
        let is_free = self.known.iter().all(|call| call.number != given);
        let next = self.known.iter().map(|call| call.number.saturating_add(1));
        let number = match told.index {
            Some(_) if is_free => given,
            Some(_) | None => next.max().unwrap_or(0),
        };
        self.known.push(Known {
            given,
            number,
            id: told.id.to_owned(),
            name: told.name.to_owned(),
        });
        Some(self.known.len() - 1)
    }
}

impl Known {
    /// A fragment that seemed to belong to this call begins another one.
    fn is_another(&self, told: &Told<'_>) -> bool {
        if self.name.is_empty() || told.name.is_empty() {
            return false;
        }
        let other_id = !self.id.is_empty() && !told.id.is_empty() && self.id != told.id;
        // without index and id there is only the name to tell them apart
        let is_bare = told.index.is_none() && told.id.is_empty();
        other_id || (is_bare && self.name != told.name)
    }
}
