//! Rules of the node part.

use super::cluster;
use super::model::bad_url;
use crate::config::node::NodeConfig;
use crate::config::path::Path;
use crate::config::problem::Finding;

/// Most embedding workers.
const MAX_WORKERS: usize = 1024;

/// Everything wrong with the node part.
pub fn node(config: &NodeConfig) -> Vec<Finding> {
    let mut found = Vec::new();
    let top = Path::top();
    if let Some(id) = &config.node.id {
        let clean = id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if id.is_empty() || id.len() > 64 || !clean {
            let message = "an id has 1 to 64 letters, digits or any of . _ -";
            found.push(Finding::new(top.keys("node.id"), message));
        }
    }
    for (key, address) in [
        ("listen.http", &config.listen.http),
        ("listen.grpc", &config.listen.grpc),
        ("listen.cluster", &config.listen.cluster),
    ] {
        if !is_address(address) {
            let message = "expected host:port, such as 127.0.0.1:8080";
            found.push(Finding::new(top.keys(key), message));
        }
    }
    let doors = &config.listen;
    for (key, address, other, name) in [
        ("listen.grpc", &doors.grpc, &doors.http, "HTTP"),
        ("listen.cluster", &doors.cluster, &doors.http, "HTTP"),
        ("listen.cluster", &doors.cluster, &doors.grpc, "gRPC"),
    ] {
        if address == other && !address.ends_with(":0") {
            let message = format!("{name} listens on the same address");
            found.push(Finding::new(top.keys(key), message));
        }
    }
    cluster::check(&config.cluster, &mut found);
    if !is_folder_name(&config.embedder.model) {
        let message = "a model's name has 1 to 64 letters, digits, dots, dashes and underscores";
        found.push(Finding::new(top.keys("embedder.model"), message));
    }
    if config.embedder.workers > MAX_WORKERS {
        let message = format!("must be at most {MAX_WORKERS}");
        found.push(Finding::new(top.keys("embedder.workers"), message));
    }
    if let Some(problem) = config.telemetry.otlp_endpoint.as_deref().and_then(bad_url) {
        found.push(Finding::new(top.keys("telemetry.otlp_endpoint"), problem));
    }
    if !(0.0..=1.0).contains(&config.telemetry.sampling.ratio) {
        let message = "must be between 0 (no trace) and 1 (every trace)";
        found.push(Finding::new(top.keys("telemetry.sampling.ratio"), message));
    }
    found
}

/// The files of a model are in a directory of its name, unless another one is said.
fn is_folder_name(name: &str) -> bool {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(clean) && !name.starts_with('.')
}

/// `host:port`, with an IPv6 host in brackets.
pub(super) fn is_address(text: &str) -> bool {
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let named = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    !host.is_empty() && host.len() <= 253 && named && !numeric && port.parse::<u16>().is_ok()
}
