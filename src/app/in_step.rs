//! A node's config file and what the nodes agreed on: which of the two is newer, and when the file
//! is proposed. Pure, but for the note kept in the data directory.
//!
//! ```text
//! emptied       the file said something when it was in step, and says nothing now: never proposed
//! unagreed      nothing is agreed on yet, and each node serves its own file as its default
//! in step       file and agreed config say the same; the digest and the revision are noted
//! file newer    the file changed since then, the agreed config did not
//! agreed newer  the agreed config moved on, the file did not
//! both          both did
//! unknown       they were never in step on this node
//! ```

use std::fs;
use std::io;
use std::path::Path;

use llm_router_cluster::Revision;
use serde::{Deserialize, Serialize};

/// When file and agreed config last said the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InStep {
    /// The cluster; a note of another one means nothing.
    pub(super) cluster: String,
    /// Digest of what both said.
    pub(super) digest: String,
    /// The agreed revision.
    pub(super) revision: Revision,
}

impl InStep {
    /// The note in the data directory; a damaged one counts as none, for it only says less.
    pub(super) fn read(file: &Path, cluster: &str) -> Option<Self> {
        let noted: InStep = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        (noted.cluster == cluster).then_some(noted)
    }

    /// Keeps the note.
    pub(super) fn write(&self, file: &Path) -> io::Result<()> {
        let part = file.with_extension("part");
        fs::write(&part, serde_json::to_vec(self)?)?;
        fs::rename(&part, file)
    }
}

/// Which side moved since both said the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Newer {
    /// The file.
    File,
    /// The agreed config.
    Agreed,
    /// Both.
    Both,
    /// They never said the same on this node.
    Unknown,
}

impl Newer {
    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Newer::File => "file",
            Newer::Agreed => "agreed",
            Newer::Both => "both",
            Newer::Unknown => "unknown",
        }
    }
}

/// How a file stands to the agreed config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It says nothing about routing.
    Silent,
    /// It says nothing about routing any more: it was in step once.
    Emptied,
    /// Nothing is agreed yet.
    Unagreed,
    /// Both say the same.
    InStep,
    /// They do not.
    Differs(Newer),
}

impl Standing {
    /// In one word, as `GET /admin/v1/cluster` shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::Silent => "silent",
            Standing::Emptied => "emptied",
            Standing::Unagreed => "unagreed",
            Standing::InStep => "in_step",
            Standing::Differs(_) => "differs",
        }
    }
}

impl Serialize for Standing {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Both sides, as digests of what they say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides<'a> {
    /// The file; `None` when it says nothing about routing.
    pub(super) file: Option<&'a str>,
    /// The agreed config.
    pub(super) agreed: Option<(Revision, &'a str)>,
    /// When they last said the same.
    pub(super) last: Option<&'a InStep>,
}

impl Sides<'_> {
    /// How the file stands.
    pub(super) fn standing(&self) -> Standing {
        let Some(file) = self.file else {
            return match self.last {
                Some(_) => Standing::Emptied,
                None => Standing::Silent,
            };
        };
        let Some((revision, agreed)) = self.agreed else {
            return Standing::Unagreed;
        };
        if file == agreed {
            return Standing::InStep;
        }
        let Some(last) = self.last else {
            return Standing::Differs(Newer::Unknown);
        };
        let file_moved = last.digest != file;
        let agreed_moved = last.revision != revision;
        Standing::Differs(match (file_moved, agreed_moved) {
            (true, false) => Newer::File,
            (false, true) => Newer::Agreed,
            (true, true) => Newer::Both,
            (false, false) => Newer::Unknown,
        })
    }

    /// At start: the revision to propose the file on. Only the first config of a cluster of one is
    /// proposed; everything else waits for an operator.
    pub(super) fn propose_at_start(&self, alone: bool) -> Option<Revision> {
        match self.standing() {
            Standing::Unagreed if alone => Some(Revision(0)),
            Standing::Silent
            | Standing::Emptied
            | Standing::Unagreed
            | Standing::InStep
            | Standing::Differs(Newer::File | Newer::Agreed | Newer::Both | Newer::Unknown) => None,
        }
    }

    /// When the file has changed while the node ran: the revision to propose it on, which is the
    /// one it was last in step with. Whoever was faster wins.
    pub(super) fn propose_on_change(&self) -> Option<Revision> {
        let on = self.last.map_or(Revision(0), |last| last.revision);
        match self.standing() {
            Standing::Unagreed | Standing::Differs(_) => Some(on),
            // a shell that is about to write a file empties it first: that must not take every
            // model from every node
            Standing::Silent | Standing::Emptied | Standing::InStep => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(digest: &str, revision: u64) -> InStep {
        InStep {
            cluster: "c".to_owned(),
            digest: digest.to_owned(),
            revision: Revision(revision),
        }
    }

    #[test]
    fn the_whole_table_of_a_file_and_an_agreed_config() {
        use Newer::*;
        use Standing::{Differs, Emptied, Silent, Unagreed};
        const SAME: Standing = Standing::InStep;
        let last = noted("old", 4);
        let (never, then) = (None, Some(&last));
        let is = |revision, digest| Some((Revision(revision), digest));
        let (a, new, old) = (Some("a"), Some("new"), Some("old"));
        // file, agreed, last → standing, proposed at start of a node alone, on change
        let table = [
            (None, None, never, Silent, None, None),
            (None, is(4, "old"), then, Emptied, None, None),
            (new, None, never, Unagreed, Some(0), Some(0)),
            (a, is(4, "a"), never, SAME, None, None),
            (a, is(9, "a"), then, SAME, None, None),
            (new, is(4, "old"), then, Differs(File), None, Some(4)),
            (old, is(5, "b"), then, Differs(Agreed), None, Some(4)),
            (new, is(5, "b"), then, Differs(Both), None, Some(4)),
            (new, is(5, "b"), never, Differs(Unknown), None, Some(0)),
        ];
        for (file, agreed, last, standing, alone, on_change) in table {
            let sides = Sides { file, agreed, last };
            assert_eq!(sides.standing(), standing, "{sides:?}");
            let at_start = sides.propose_at_start(true);
            assert_eq!(at_start, alone.map(Revision), "{sides:?}");
            assert_eq!(sides.propose_at_start(false), None, "{sides:?}");
            let changed = sides.propose_on_change();
            assert_eq!(changed, on_change.map(Revision), "{sides:?}");
        }
    }

    #[test]
    fn a_note_of_another_cluster_or_a_damaged_one_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in-step.json");
        assert_eq!(InStep::read(&file, "c"), None);
        noted("d", 3).write(&file).unwrap();
        assert_eq!(InStep::read(&file, "c"), Some(noted("d", 3)));
        assert_eq!(InStep::read(&file, "other"), None);
        fs::write(&file, "{").unwrap();
        assert_eq!(InStep::read(&file, "c"), None);
    }
}
