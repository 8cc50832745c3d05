//! Rules of what the node part says about other nodes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use llm_router_cluster::NodeId;

use super::node::is_address;
use crate::config::node::{ClusterConfig, NodeConfig, TimingConfig};
use crate::config::path::Path;
use crate::config::problem::Finding;

/// Most nodes named to join: more than a cluster has voters, so one of them answers.
const MAX_JOIN: usize = 32;
/// Most addresses to dial instead: as many nodes as a cluster may have.
const MAX_DIAL: usize = 256;
/// Shortest heartbeat: below it a busy machine misses its own leader.
const MIN_HEARTBEAT: Duration = Duration::from_millis(10);
/// Longest election timeout: with a longer one, a dead leader is missed too late to speak of.
const MAX_ELECTION: Duration = Duration::from_secs(60);

const ADDRESS: &str = "expected host:port, such as 10.0.0.1:7400";

/// Everything wrong in `cluster` by itself.
pub(super) fn check(config: &ClusterConfig, found: &mut Vec<Finding>) {
    let top = Path::top().key("cluster");
    if config.join.len() > MAX_JOIN {
        let message = format!("at most {MAX_JOIN} nodes");
        found.push(Finding::new(top.key("join"), message));
    }
    for (index, peer) in config.join.iter().enumerate() {
        if !is_dialable(peer) {
            found.push(Finding::new(top.key("join").index(index), ADDRESS));
        }
    }
    if let Some(advertise) = &config.advertise
        && !is_dialable(advertise)
    {
        let message = "expected host:port that other nodes can dial, such as 10.0.0.1:7400";
        found.push(Finding::new(top.key("advertise"), message));
    }
    if config.dial.len() > MAX_DIAL {
        let message = format!("at most {MAX_DIAL} nodes");
        found.push(Finding::new(top.key("dial"), message));
    }
    for (node, address) in config.dial.iter().take(MAX_DIAL) {
        let path = top.key("dial").key(node);
        if let Err(bad) = NodeId::parse(node) {
            found.push(Finding::new(path.clone(), bad.to_string()));
        }
        if !is_dialable(address) {
            found.push(Finding::new(path, ADDRESS));
        }
    }
    timing(config.timing, &top.key("timing"), found);
}

fn timing(config: TimingConfig, path: &Path, found: &mut Vec<Finding>) {
    let [heartbeat, shortest, longest] =
        [config.heartbeat, config.election_min, config.election_max].map(|span| span.get());
    let mut wrong = |key: &str, message: &str| found.push(Finding::new(path.key(key), message));
    if heartbeat < MIN_HEARTBEAT {
        wrong("heartbeat", "must be at least 10ms");
    }
    if shortest <= heartbeat {
        wrong(
            "election_min",
            "must be more than `heartbeat`, best four times as much",
        );
    }
    if longest <= shortest {
        wrong(
            "election_max",
            "must be more than `election_min`, best twice as much",
        );
    }
    if longest > MAX_ELECTION {
        wrong("election_max", "must be at most 60s");
    }
}

/// Whether other nodes can reach this one, and only they: looked at once flags and environment
/// have had their say.
pub fn reach(config: &NodeConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    let top = Path::top();
    let door = ip(&config.listen.cluster);
    let secured = config.cluster.tls.is_some();
    if door.is_some_and(|ip| !ip.is_loopback()) && !secured {
        let message = "other machines can reach this address, and there are no certificates: \
                       nodes talk without them on loopback only";
        let help = "`llm-router certs create`, then `cluster: { tls: { ca, cert, key } }`";
        found.push(Finding::new(top.keys("listen.cluster"), message).help(help));
    }
    if door.is_some_and(|ip| ip.is_unspecified()) && config.cluster.advertise.is_none() {
        let message = "other nodes cannot dial a wildcard address";
        let help = "say where they reach this one: --advertise HOST:PORT, or `cluster.advertise`";
        found.push(Finding::new(top.keys("listen.cluster"), message).help(help));
    }
    if !secured {
        let away = |peer: &&String| ip(peer).is_some_and(|ip| !ip.is_loopback());
        for peer in config.cluster.join.iter().filter(away) {
            let message = format!("{peer} is another machine, and there are no certificates");
            let help = "add `cluster: { tls: { ca, cert, key } }`";
            found.push(Finding::new(top.keys("cluster.join"), message).help(help));
        }
    }
    found
}

fn is_dialable(text: &str) -> bool {
    is_address(text) && !text.ends_with(":0") && !ip(text).is_some_and(|ip| ip.is_unspecified())
}

fn ip(address: &str) -> Option<IpAddr> {
    let parsed: SocketAddr = address.parse().ok()?;
    Some(parsed.ip())
}

#[cfg(test)]
mod tests {
    use super::reach;
    use crate::config::check::node;
    use crate::config::{NodeConfig, parse};

    fn said(text: &str) -> String {
        let problems = parse(text, "test").map(|_| ()).unwrap_err();
        problems.to_string()
    }

    #[test]
    fn clockworks_that_cannot_run_are_refused() {
        let timing = |text: &str| said(&format!("cluster: {{ timing: {{ {text} }} }}"));
        assert!(timing("heartbeat: 1ms").contains("at least 10ms"));
        let slow = timing("heartbeat: 300ms");
        assert!(slow.contains("more than `heartbeat`"), "{slow}");
        assert!(timing("election_min: 400ms").contains("more than `election_min`"));
        assert!(timing("election_max: 2m").contains("at most 60s"));
    }

    #[test]
    fn addresses_nobody_can_dial_are_refused() {
        assert!(said("cluster: { join: ['n1'] }").contains("host:port"));
        assert!(said("cluster: { advertise: '0.0.0.0:7400' }").contains("can dial"));
        assert!(said("cluster: { advertise: '10.0.0.1:0' }").contains("can dial"));
        assert!(said("cluster: { dial: { 'a/b': '10.0.0.1:1' } }").contains("a node id"));
        assert!(said("listen: { cluster: '127.0.0.1:8080' }").contains("HTTP listens"));
    }

    #[test]
    fn a_door_beyond_loopback_wants_certificates_and_a_wildcard_an_address() {
        let at = |cluster: &str| {
            let mut config = NodeConfig::default();
            config.listen.cluster = cluster.to_owned();
            config
        };
        let open = reach(&at("10.0.0.1:7400"));
        assert!(open[0].message.contains("no certificates"), "{open:?}");
        let mut secured = at("0.0.0.0:7400");
        let tls = r#"{"ca":"ca.pem","cert":"n1.pem","key":"n1.key"}"#;
        secured.cluster.tls = serde_json::from_str(tls).ok();
        assert!(reach(&secured)[0].message.contains("wildcard"));
        secured.cluster.advertise = Some("10.0.0.1:7400".to_owned());
        assert!(reach(&secured).is_empty() && node(&secured).is_empty());
        let mut joining = at("127.0.0.1:7400");
        joining.cluster.join = vec!["10.0.0.2:7400".to_owned()];
        assert!(reach(&joining)[0].message.contains("another machine"));
        joining.cluster.join = vec!["127.0.0.1:7401".to_owned()];
        assert!(reach(&joining).is_empty());
    }
}
