//! `cluster init`: the running node's cluster, and how a second node comes to it.

use llm_router_cluster::ClusterId;
use serde_json::{Value, json};

use crate::cli::client::json as read;
use crate::cli::output::cell;
use crate::cli::{Code, Context};

/// The node-to-node port of a second node on a machine, where the first one's says nothing.
const SECOND: u16 = 7401;

/// Changes nothing: a node is a cluster of one from its first start.
///
/// # Errors
/// The node refuses or is not there.
pub(super) async fn run(context: &Context) -> anyhow::Result<Code> {
    let answer = context.client()?.get("/admin/v1/cluster").await?;
    let status = read(&answer)?;
    let address = own_address(&status);
    let join = join_line(&address);
    let shown = json!({
        "cluster": status["cluster"],
        "node": status["node"],
        "address": address,
        "join": join,
    });
    context
        .out
        .show(&shown, || draw(&status, &address, &join))?;
    Ok(Code::Ok)
}

fn own_address(status: &Value) -> String {
    let nodes = status["nodes"].as_array().cloned().unwrap_or_default();
    let own = nodes.iter().find(|node| node["id"] == status["node"]);
    own.map(|node| cell(&node["address"])).unwrap_or_default()
}

/// Works as printed on the same machine. The ports are fixed: with picked ones each restart would
/// be a move to another address, which the others have to be told of.
fn join_line(address: &str) -> String {
    let port = address.rsplit_once(':').map(|(_, port)| port);
    let next = port.and_then(|port| port.parse::<u16>().ok()?.checked_add(1));
    let next = next.unwrap_or(SECOND);
    format!(
        "llm-router cluster join {address} --data ./n2 --http 127.0.0.1:8081 \
         --grpc 127.0.0.1:50052 --cluster 127.0.0.1:{next}"
    )
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn draw(status: &Value, address: &str, join: &str) -> String {
    let (cluster, node) = (cell(&status["cluster"]), cell(&status["node"]));
    let certified =
        ClusterId::parse(&cluster).map_or(cluster.clone(), |id| id.certified().to_string());
    let mut text =
        format!("cluster  {cluster}\nnode     {node}, reached by others at {address}\n\n");
    if is_loopback(address) {
        text.push_str(&format!("A second node, on this machine:\n\n  {join}\n\n"));
        text.push_str("For nodes on other machines, make certificates first:\n\n");
    } else {
        text.push_str("A second node needs a certificate of this cluster:\n\n");
    }
    text.push_str(&format!(
        "  llm-router certs create --cluster {certified} --node {node} --node n2\n"
    ));
    text
}
