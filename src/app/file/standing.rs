//! How a node's file stands to what is agreed, in words and with what can be done about it.

use std::path::PathBuf;

use llm_router_cluster::Revision;
use serde::Serialize;

use crate::app::in_step::{Newer, Standing};
use crate::config::difference::Difference;

/// How the file stands to what is agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileStanding {
    /// The file.
    pub path: PathBuf,
    /// In one word.
    pub standing: Standing,
    /// Both say the same, or the file never said anything about routing.
    pub in_step: bool,
    /// Which side moved since they last did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer: Option<Newer>,
    /// The agreed revision it was compared with; 0 while nothing is agreed.
    pub agreed_revision: Revision,
    /// The agreed revision of when both last said the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_step_revision: Option<Revision>,
    /// What differs, from the agreed config to the file; the first few.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Difference>,
    /// A change of the file waits for a leader with a quorum.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
}

impl FileStanding {
    /// Of a file that says nothing.
    pub(super) fn silent(path: PathBuf) -> Self {
        FileStanding {
            path,
            standing: Standing::Silent,
            in_step: true,
            newer: None,
            agreed_revision: Revision(0),
            in_step_revision: None,
            changes: Vec::new(),
            waiting: false,
        }
    }

    /// From now on it stands like this; with the revision agreed, and the one last in step.
    pub(super) fn stands(
        &mut self,
        standing: Standing,
        (agreed, last): (Revision, Option<Revision>),
    ) {
        let (in_step, newer) = match standing {
            Standing::Silent | Standing::InStep => (true, None),
            Standing::Emptied | Standing::Unagreed => (false, None),
            Standing::Differs(newer) => (false, Some(newer)),
        };
        self.standing = standing;
        (self.in_step, self.newer) = (in_step, newer);
        (self.agreed_revision, self.in_step_revision) = (agreed, last);
    }

    /// What an operator can do about it.
    pub fn remedies(&self) -> Vec<String> {
        let path = self.path.display();
        let take = || format!("to agree on the file:     llm-router config apply {path}");
        let keep = || format!("to keep what is agreed:   llm-router config export --into {path}");
        match self.standing {
            Standing::Silent | Standing::InStep => Vec::new(),
            Standing::Unagreed => vec![take()],
            Standing::Emptied => vec![keep()],
            Standing::Differs(_) => vec![take(), keep()],
        }
    }

    /// In one sentence, when there is something to say.
    pub fn difference(&self) -> Option<String> {
        let path = self.path.display();
        match self.standing {
            Standing::Silent | Standing::InStep => None,
            Standing::Unagreed if self.waiting => None,
            Standing::Unagreed => Some(format!(
                "nothing is agreed on yet: this node serves {path} as its own default, and other \
                 nodes may serve another"
            )),
            Standing::Emptied => Some(format!(
                "{path} says nothing about routing any more; what is agreed stays in service"
            )),
            Standing::Differs(newer) => Some(format!(
                "{path} differs from the agreed config, which is in service; {}",
                self.which(newer)
            )),
        }
    }

    fn which(&self, newer: Newer) -> String {
        let (now, then) = (
            self.agreed_revision,
            self.in_step_revision.unwrap_or_default(),
        );
        match newer {
            Newer::File => format!("the file is newer than revision {now}"),
            Newer::Agreed => {
                format!("the agreed config is newer: revision {now}, the file is of {then}")
            }
            Newer::Both => {
                format!("both have changed since revision {then}; {now} is agreed on now")
            }
            Newer::Unknown => format!("revision {now} and it were never the same on this node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(standing: Standing) -> FileStanding {
        let mut told = FileStanding::silent("a.yaml".into());
        told.stands(standing, (Revision(7), Some(Revision(4))));
        told
    }

    #[test]
    fn no_remedy_lets_a_shell_empty_the_file_first() {
        for newer in [Newer::File, Newer::Agreed, Newer::Both, Newer::Unknown] {
            let remedies = standing(Standing::Differs(newer)).remedies();
            assert_eq!(remedies.len(), 2);
            assert!(
                remedies.iter().all(|line| !line.contains('>')),
                "{remedies:?}"
            );
            assert!(remedies[1].contains("config export --into a.yaml"));
        }
    }

    #[test]
    fn nothing_agreed_is_not_in_step_and_names_its_remedy() {
        let told = standing(Standing::Unagreed);
        assert!(!told.in_step && told.newer.is_none());
        assert!(
            told.difference()
                .is_some_and(|said| said.contains("as its own default"))
        );
        assert!(told.remedies()[0].contains("config apply a.yaml"));
        let shown = serde_json::to_value(&told).unwrap();
        assert_eq!(shown["standing"], "unagreed");
    }

    #[test]
    fn which_side_is_newer_is_told_with_revisions() {
        let said = standing(Standing::Differs(Newer::Agreed))
            .difference()
            .unwrap();
        assert!(said.contains("revision 7, the file is of 4"), "{said}");
    }

    #[test]
    fn an_emptied_file_is_told_and_offered_back() {
        let told = standing(Standing::Emptied);
        assert!(!told.in_step && told.difference().is_some());
        assert_eq!(told.remedies().len(), 1);
        assert!(told.remedies()[0].contains("--into"));
    }
}
