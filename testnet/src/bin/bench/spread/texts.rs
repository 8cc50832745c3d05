//! Questions in classes: those of a class ask the same.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use llm_router::cache::policy;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// Fixed, so that every run draws the same stream.
const SEED: u64 = 5;

/// One member of each class to store, the others to ask with.
#[derive(Debug)]
pub(super) struct Texts {
    /// Stored, one of each class.
    pub(super) stored: Vec<String>,
    /// Asked, shuffled.
    pub(super) asked: Vec<String>,
    class: HashMap<String, usize>,
}

impl Texts {
    /// Reads `class_id`, `class_size`, `text` rows, and draws at most `most` classes of them.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub(super) fn read(file: &Path, most: usize) -> anyhow::Result<Self> {
        let content =
            std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
        let mut classes: Vec<(String, Vec<String>)> = Vec::new();
        let mut seen = HashSet::new();
        for line in content.lines().skip(1) {
            let row: Vec<&str> = line.split('\t').collect();
            ensure!(row.len() == 3, "not class_id, class_size, text: {line}");
            // what only an identical request may share says nothing of meaning
            if policy::keeps_out(row[2]).is_some() || !seen.insert(row[2].to_owned()) {
                continue;
            }
            match classes.last_mut().filter(|(class, _)| class == row[0]) {
                Some((_, members)) => members.push(row[2].to_owned()),
                None => classes.push((row[0].to_owned(), vec![row[2].to_owned()])),
            }
        }
        let mut random = StdRng::seed_from_u64(SEED);
        classes.shuffle(&mut random);
        classes.truncate(most);
        let (mut stored, mut asked, mut class) = (Vec::new(), Vec::new(), HashMap::new());
        for (number, (_, members)) in classes.into_iter().enumerate() {
            for text in &members {
                class.insert(text.clone(), number);
            }
            let mut members = members.into_iter();
            stored.extend(members.next());
            asked.extend(members);
        }
        asked.shuffle(&mut random);
        Ok(Texts {
            stored,
            asked,
            class,
        })
    }

    /// Both are of one class.
    pub(super) fn same(&self, one: &str, other: &str) -> bool {
        let class = self.class.get(one);
        class.is_some() && class == self.class.get(other)
    }
}
