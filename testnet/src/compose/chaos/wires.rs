//! Links between nodes. Whole ones are cut by taking a container out of a network, which any engine
//! does; what is finer is done inside a node's own network namespace, where this user may enter it.

use std::os::unix::fs::MetadataExt as _;

use anyhow::Context;

use crate::compose::engine::{Engine, run};
use crate::compose::plan::Plan;
use crate::compose::settings::{link, on_link};

/// How slow a link becomes where the kernel can delay packets.
const DELAY: [&str; 5] = ["netem", "delay", "120ms", "60ms", "loss"];
/// How narrow, where it cannot: words wait for one another then.
const NARROW: [&str; 7] = ["tbf", "rate", "48kbit", "burst", "8kb", "latency", "1500ms"];
/// Of all packets so many are lost.
const LOSS: &str = "0.05";

/// Where a rule was laid, and how it is taken back.
#[derive(Debug)]
pub(super) struct Undo {
    /// The node.
    id: usize,
    /// The first process of the container the rule is in.
    pid: String,
    words: Vec<String>,
}

/// The links of one testnet.
#[derive(Debug)]
pub(super) struct Wires<'a> {
    pub(super) engine: &'a Engine,
    pub(super) plan: &'a Plan,
}

impl Wires<'_> {
    fn network(&self, a: usize, b: usize) -> String {
        format!("{}_{}", self.plan.project, link(a, b))
    }

    fn container(&self, id: usize) -> String {
        self.plan.container(&format!("n{id}"))
    }

    /// Takes `id` out of the network it shares with `other`.
    pub(super) async fn cut(&self, id: usize, other: usize) -> anyhow::Result<()> {
        let (network, container) = (self.network(id, other), self.container(id));
        let words = ["network", "disconnect", &network, &container];
        self.engine.docker(&words).await.map(drop)
    }

    /// Lets it in again, under the name that the other calls it by.
    pub(super) async fn join(&self, id: usize, other: usize) -> anyhow::Result<()> {
        let (network, container) = (self.network(id, other), self.container(id));
        let alias = on_link(id, other);
        let words = [
            "network", "connect", "--alias", &alias, &network, &container,
        ];
        self.engine.docker(&words).await.map(drop)
    }

    /// `to` no longer hears `from`.
    pub(super) async fn deafen(&self, to: usize, from: usize) -> anyhow::Result<Undo> {
        let speaker = self.address(from, to).await?;
        let rule = ["INPUT", "-s", &speaker, "-j", "DROP"];
        self.rule(to, &rule).await
    }

    /// `id` loses packets of what `other` sends it.
    pub(super) async fn lose(&self, id: usize, other: usize) -> anyhow::Result<Undo> {
        let speaker = self.address(other, id).await?;
        let chance = ["--mode", "random", "--probability", LOSS];
        let mut rule = vec!["INPUT", "-s", &speaker, "-m", "statistic"];
        rule.extend(chance);
        rule.extend(["-j", "DROP"]);
        self.rule(id, &rule).await
    }

    /// What `id` says to `other` takes its time: late where the kernel has `netem`, else through a
    /// narrow way.
    pub(super) async fn slow(&self, id: usize, other: usize) -> anyhow::Result<Undo> {
        let (pid, device) = (self.pid(id).await?, self.device(id, other).await?);
        let begin = ["tc", "qdisc", "replace", "dev", &device, "root"];
        let mut late = begin.to_vec();
        late.extend(DELAY);
        late.push("2%");
        if enter(&pid, &late).await.is_err() {
            let mut narrow = begin.to_vec();
            narrow.extend(NARROW);
            enter(&pid, &narrow).await?;
        }
        let words = ["tc", "qdisc", "del", "dev", &device, "root"].map(str::to_owned);
        Ok(Undo {
            id,
            pid,
            words: words.into(),
        })
    }

    /// Takes a rule back. A container that was started anew meanwhile has none.
    ///
    /// # Errors
    /// It stays where it was laid.
    pub(super) async fn undo(&self, rule: Undo) -> anyhow::Result<()> {
        let words: Vec<&str> = rule.words.iter().map(String::as_str).collect();
        match enter(&rule.pid, &words).await {
            Err(_) if self.pid(rule.id).await.ok().as_ref() != Some(&rule.pid) => Ok(()),
            told => told.map(drop),
        }
    }

    async fn rule(&self, id: usize, rule: &[&str]) -> anyhow::Result<Undo> {
        let pid = self.pid(id).await?;
        let words = |verb: &'static str| -> Vec<&str> {
            ["iptables", "-w", verb]
                .into_iter()
                .chain(rule.iter().copied())
                .collect()
        };
        enter(&pid, &words("-A")).await?;
        let words = words("-D").into_iter().map(str::to_owned).collect();
        Ok(Undo { id, pid, words })
    }

    async fn pid(&self, id: usize) -> anyhow::Result<String> {
        let pid = self.engine.field(&self.container(id), ".State.Pid").await;
        pid.filter(|pid| pid != "0")
            .context("its process is not there")
    }

    /// A node's address on its link with another.
    async fn address(&self, id: usize, other: usize) -> anyhow::Result<String> {
        let network = self.network(id, other);
        let field = format!("(index .NetworkSettings.Networks \"{network}\").IPAddress");
        let address = self.engine.field(&self.container(id), &field).await;
        let address = address.filter(|text| text.parse::<std::net::IpAddr>().is_ok());
        address.with_context(|| format!("n{id} has no address in {network}"))
    }

    /// What a node's end of a link is called in its container.
    async fn device(&self, id: usize, other: usize) -> anyhow::Result<String> {
        let (pid, address) = (self.pid(id).await?, self.address(id, other).await?);
        let text = enter(&pid, &["ip", "-o", "-4", "addr", "show"]).await?;
        let device = device_of(&text, &address);
        device.with_context(|| format!("nothing in n{id} has the address {address}"))
    }
}

/// `2: eth1    inet 172.19.0.2/16 brd …`: the second word where the address is that.
fn device_of(text: &str, address: &str) -> Option<String> {
    let wanted = format!("{address}/");
    let line = text.lines().find(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word.starts_with(&wanted))
    })?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

/// Runs a program in the network of a container's process.
async fn enter(pid: &str, words: &[&str]) -> anyhow::Result<String> {
    let mut all = vec!["-t", pid, "-n"];
    all.extend(words);
    run("nsenter", &all).await
}

/// Rules can be laid inside of containers: `None`, or what is missing.
pub(super) async fn lacks() -> Option<String> {
    if !is_root() {
        return Some("not root: a container's network cannot be entered".to_owned());
    }
    for program in ["nsenter", "iptables", "tc", "ip"] {
        if run(program, &["--version"]).await.is_err() && run(program, &["-V"]).await.is_err() {
            return Some(format!("{program} is not installed"));
        }
    }
    None
}

/// The caller may do anything.
pub(super) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_the_whole_address() {
        let text = "1: lo    inet 127.0.0.1/8 scope host lo\\n\n\
                    7: eth1    inet 172.19.0.23/16 brd 172.19.255.255 scope global eth1\n\
                    9: eth2    inet 172.19.0.2/16 brd 172.19.255.255 scope global eth2\n";
        assert_eq!(device_of(text, "172.19.0.2").as_deref(), Some("eth2"));
        assert_eq!(device_of(text, "172.19.0.23").as_deref(), Some("eth1"));
        assert_eq!(device_of(text, "10.0.0.1"), None);
    }
}
