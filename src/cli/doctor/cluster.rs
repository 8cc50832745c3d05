//! The node among others: whose data this is, certificates, and the file beside what is agreed.

use std::path::Path;

use llm_router_cluster::{NodeId, certs, start};
use serde_json::Value;

use super::Check;
use crate::cli::client::{Client, Failed, json};
use crate::cli::config::difference;
use crate::config::node::{NodeConfig, TlsConfig};
use crate::types::clock::unix_millis;

/// A certificate that ends this soon is replaced now, in milliseconds.
const SOON: u64 = 14 * DAY;
const DAY: u64 = 24 * 3600 * 1000;

/// The data directory belongs to the node that is about to use it.
pub(super) fn owner(config: &NodeConfig, data_dir: &Path) -> Option<Check> {
    let name = "member";
    let store = data_dir.join("cluster");
    let owner = match start::owner(&store) {
        Ok(owner) => owner?,
        Err(error) => {
            let hint = "the node would refuse to start; take it out of the cluster on another \
                        node, then let it join again with an empty directory";
            let found = format!("{}: {error}", store.display());
            return Some(Check::bad(name, found, hint));
        }
    };
    let (member, of) = owner;
    Some(match &config.node.id {
        Some(id) if *id != of.as_str() => Check::bad(
            name,
            format!("{} is of {of}, this node is called {id}", store.display()),
            "use the directory's own name as `node.id`, or another directory with --data DIR",
        ),
        Some(_) | None => Check::good(name, format!("{of}, number {member}")),
    })
}

/// The certificates can be read, name this node and are not about to end.
pub(super) fn certificates(tls: &TlsConfig, id: Option<&str>) -> Check {
    let name = "certificate";
    let path = tls.cert.display();
    let (node, until) = match (certs::node_of(&tls.cert), certs::expires(&tls.cert)) {
        (Ok(node), Ok(until)) => (node, until),
        (Err(error), _) | (_, Err(error)) => {
            let hint = "`llm-router certs create` makes certificates";
            return Check::bad(name, format!("{path}: {error}"), hint);
        }
    };
    let missing = [&tls.ca, &tls.key].into_iter().find(|file| !file.is_file());
    if let Some(missing) = missing {
        let found = format!("{}: there is no such file", missing.display());
        return Check::bad(name, found, "`llm-router certs create` makes certificates");
    }
    judge(&node, until.saturating_sub(unix_millis()), id).unwrap_or_else(|| {
        let days = until.saturating_sub(unix_millis()) / DAY;
        Check::good(name, format!("{path}: of {node}, ends in {days} days"))
    })
}

/// What is wrong with a certificate of this node that has this long to go.
fn judge(node: &NodeId, left: u64, id: Option<&str>) -> Option<Check> {
    let name = "certificate";
    let renew = "`llm-router certs create --renew` beside the authority; a running node takes the \
                 new files by itself";
    if let Some(id) = id.filter(|id| *id != node.as_str()) {
        let found = format!("it is of {node}, this node is called {id}");
        return Some(Check::bad(name, found, "other nodes would turn it away"));
    }
    if left == 0 {
        return Some(Check::bad(name, format!("that of {node} has ended"), renew));
    }
    (left < SOON).then(|| {
        let found = format!("that of {node} ends in {} days", left / DAY);
        Check::bad(name, found, renew)
    })
}

/// What a running node says of itself; nothing when none runs.
pub(super) async fn running(client: &Client) -> Vec<Check> {
    let answer = match client.get("/admin/v1/cluster").await {
        Ok(answer) => answer,
        Err(Failed::Unreachable { .. }) => return Vec::new(),
        Err(error) => {
            let hint = "doctor looks at the file and the agreed config through the running node";
            return vec![Check::bad("agreed", error.to_string(), hint)];
        }
    };
    match json(&answer) {
        Ok(status) => judge_status(&status),
        Err(error) => vec![Check::bad("agreed", error.to_string(), "is it a node?")],
    }
}

fn judge_status(status: &Value) -> Vec<Check> {
    let mut checks = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let leader = text(&status["leader"]);
    checks.push(match status["connected"].as_bool() {
        Some(false) => Check::bad(
            "cluster",
            format!(
                "{}: no leader with a quorum is heard of",
                text(&status["cluster"])
            ),
            "it serves by what it last knew; start the missing nodes, or mend the way to them",
        ),
        Some(true) | None => Check::good("cluster", format!("led by {leader}")),
    });
    if let Some(problem) = status["config_problem"].as_object() {
        let found = format!(
            "this node cannot serve revision {}: {}",
            problem["revision"],
            text(&problem["reason"])
        );
        let hint = "upgrade it, or go back with `llm-router config rollback`";
        checks.push(Check::bad("agreed", found, hint));
    }
    let file = &status["file"];
    let path = text(&file["path"]);
    if file["standing"] == "unagreed" && file["waiting"] != true {
        let found = format!("nothing is agreed; {path} is this node's own default");
        let hint = format!("other nodes may serve another: `llm-router config apply {path}`");
        checks.push(Check::bad("agreed", found, hint));
        return checks;
    }
    if file["newer"].is_null() {
        let revision = status["in_service"].as_u64().unwrap_or_default();
        let found = match (revision, path.is_empty()) {
            (0, _) => "nothing yet; the node's default is in service".to_owned(),
            (_, true) => format!("revision {revision} is in service"),
            (_, false) if file["standing"] == "emptied" => format!(
                "revision {revision} is in service; {path} says nothing about routing any more"
            ),
            (_, false) => format!("revision {revision} is in service; {path} does not differ"),
        };
        checks.push(Check::good("agreed", found));
        return checks;
    }
    let (now, then) = (&file["agreed_revision"], &file["in_step_revision"]);
    let newer = match file["newer"].as_str() {
        Some("file") => format!("the file is newer than revision {now}"),
        Some("agreed") => format!("the agreed config is newer: {now}, the file is of {then}"),
        Some("both") => format!("both have changed since revision {then}"),
        Some(_) | None => "they were never the same here".to_owned(),
    };
    let mut found = format!("{path} differs from what is agreed; {newer}");
    for change in file["changes"].as_array().into_iter().flatten() {
        found.push_str(&format!("\n      {}", difference(change)));
    }
    let hint = format!(
        "take the file with `llm-router config apply {path}`, or what is agreed with \
         `llm-router config export --into {path}`"
    );
    checks.push(Check::bad("agreed", found, hint));
    checks
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_that_differs_is_a_problem_with_both_ways_out() {
        let status = json!({
            "connected": true, "leader": "n1", "in_service": 4,
            "file": {"path": "a.yaml", "standing": "differs", "newer": "agreed",
                "agreed_revision": 4, "in_step_revision": 3,
                "changes": [{"path": "models.a.max_concurrency", "old": "64", "new": "2"},
                    {"path": "models.b", "new": "{}"}]},
        });
        let checks = judge_status(&status);
        let line = checks[1].line();
        for part in [
            "the agreed config is newer: 4, the file is of 3",
            "+ models.b: {}",
            "models.a.max_concurrency: 64 → 2",
            "config apply a.yaml",
            "config export --into a.yaml",
        ] {
            assert!(!checks[1].ok && line.contains(part), "{part}: {line}");
        }
    }

    #[test]
    fn a_file_that_is_only_this_nodes_default_is_a_problem_with_its_remedy() {
        let status = json!({
            "connected": true, "leader": "n1", "in_service": 0,
            "file": {"path": "a.yaml", "standing": "unagreed"},
        });
        let line = judge_status(&status)[1].line();
        assert!(
            line.starts_with('✘') && line.contains("config apply a.yaml"),
            "{line}"
        );
        let emptied = json!({"in_service": 4, "file": {"path": "a.yaml", "standing": "emptied"}});
        let line = judge_status(&emptied)[1].line();
        assert!(
            line.starts_with('✔') && line.contains("nothing about routing"),
            "{line}"
        );
    }

    #[test]
    fn a_node_without_a_leader_or_with_a_config_it_cannot_serve_is_a_problem() {
        let status = json!({
            "connected": false, "cluster": "c1", "in_service": 3,
            "config_problem": {"revision": 4, "reason": "unknown key `x`"},
        });
        let checks = judge_status(&status);
        assert!(!checks[0].ok && checks[0].found.contains("no leader"));
        assert!(!checks[1].ok && checks[1].found.contains("revision 4"));
        assert!(checks[2].ok, "no file, nothing that differs");
    }

    #[test]
    fn certificates_about_to_end_or_of_another_node_are_problems() {
        let node = NodeId::parse("n1").unwrap();
        assert!(judge(&node, 0, None).is_some_and(|check| check.found.contains("has ended")));
        assert!(judge(&node, 3 * DAY, Some("n1")).is_some_and(|check| !check.ok));
        assert!(judge(&node, 300 * DAY, Some("n2")).is_some_and(|check| !check.ok));
        assert!(judge(&node, 300 * DAY, Some("n1")).is_none());
        assert!(judge(&node, 300 * DAY, None).is_none());
    }

    #[test]
    fn a_directory_without_a_store_has_no_owner_and_a_damaged_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert!(owner(&NodeConfig::default(), dir.path()).is_none());
        std::fs::create_dir(dir.path().join("cluster")).unwrap();
        std::fs::write(dir.path().join("cluster/watermark"), "torn").unwrap();
        let check = owner(&NodeConfig::default(), dir.path()).unwrap();
        assert!(!check.ok && check.found.contains("damaged"), "{check:?}");
    }
}
