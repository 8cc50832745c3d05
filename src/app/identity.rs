//! The node's name: configured, or made once and kept in the data directory.

use std::fs;
use std::path::Path;

use anyhow::Context;
use llm_router_cluster::NodeId;

/// The configured name, else the kept one, else a new one that is kept from now on.
pub(super) fn establish(configured: Option<&str>, data_dir: &Path) -> anyhow::Result<NodeId> {
    if let Some(name) = configured {
        return NodeId::parse(name).with_context(|| format!("node.id `{name}` is not usable"));
    }
    let file = data_dir.join("node-id");
    if let Ok(kept) = fs::read_to_string(&file) {
        let name = kept.trim();
        return NodeId::parse(name).with_context(|| format!("{} is damaged", file.display()));
    }
    let made = format!("n-{}", &uuid::Uuid::now_v7().simple().to_string()[20..]);
    let id = NodeId::parse(&made).context("a made name is always usable")?;
    fs::write(&file, &made).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::establish;

    #[test]
    fn a_made_name_stays_the_same_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let first = establish(None, dir.path()).unwrap();
        assert_eq!(establish(None, dir.path()).unwrap(), first);
        assert_eq!(establish(Some("n1"), dir.path()).unwrap().as_str(), "n1");
        assert!(establish(Some("../n1"), dir.path()).is_err());
    }
}
