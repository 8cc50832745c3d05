//! The proxies between nodes: one for each ordered pair.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;

use super::Cluster;
use crate::proxy::{Conduct, Flow, Lane, Proxy};

/// How a link is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Packets are dropped: connections hang, and what was sent arrives once it heals.
    Drop,
    /// Connections are reset and refused.
    Reset,
    /// Bytes vanish although their sender sees them taken; connections are reset once it heals.
    Swallow,
}

impl Break {
    fn apply(self, conduct: &mut Conduct, lanes: impl Fn(&mut Conduct) -> Vec<&mut Lane>) {
        let flow = match self {
            Break::Drop => Flow::Stalled,
            Break::Swallow => Flow::Lost,
            Break::Reset => {
                conduct.cut = true;
                return;
            }
        };
        for lane in lanes(conduct) {
            lane.flow = flow;
        }
    }
}

/// All links, by (who dials, who is dialled).
#[derive(Debug)]
pub(super) struct Links(BTreeMap<(usize, usize), Proxy>);

impl Links {
    pub(super) async fn open(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let mut links = BTreeMap::new();
        for from in 1..=addresses.len() {
            for (to, &address) in (1..).zip(addresses) {
                if from != to {
                    links.insert((from, to), Proxy::open(address).await?);
                }
            }
        }
        Ok(Links(links))
    }

    pub(super) fn address(&self, from: usize, to: usize) -> anyhow::Result<SocketAddr> {
        let link = self.0.get(&(from, to));
        Ok(link
            .with_context(|| format!("no link from n{from} to n{to}"))?
            .address())
    }

    fn conduct(&self, from: usize, to: usize, change: impl FnOnce(&mut Conduct)) {
        if let Some(link) = self.0.get(&(from, to)) {
            link.conduct(change);
        }
    }
}

impl Cluster {
    /// Nodes in different groups cannot reach one another; a node in no group reaches nobody.
    pub fn partition(&self, groups: &[&[usize]], how: Break) {
        let group = |id| groups.iter().position(|group| group.contains(&id));
        for &(from, to) in self.links.0.keys() {
            if group(from).is_none() || group(from) != group(to) {
                self.links.conduct(from, to, |conduct| {
                    how.apply(conduct, |all| vec![&mut all.there, &mut all.back]);
                });
            }
        }
    }

    /// A node can reach nobody and is reached by nobody.
    pub fn isolate(&self, id: usize, how: Break) {
        let others: Vec<usize> = self.ids().filter(|&other| other != id).collect();
        self.partition(&[&[id], &others], how);
    }

    /// Two nodes cannot reach one another; everybody else reaches both.
    pub fn separate(&self, a: usize, b: usize, how: Break) {
        for (from, to) in [(a, b), (b, a)] {
            self.links.conduct(from, to, |conduct| {
                how.apply(conduct, |all| vec![&mut all.there, &mut all.back]);
            });
        }
    }

    /// Nothing that `from` says reaches `to`, on whichever connection; the other way it does.
    pub fn one_way(&self, from: usize, to: usize, how: Break) {
        self.links.conduct(from, to, |conduct| {
            how.apply(conduct, |all| vec![&mut all.there]);
        });
        self.links.conduct(to, from, |conduct| {
            how.apply(conduct, |all| vec![&mut all.back]);
        });
    }

    /// Everything between two nodes takes this much longer in each direction.
    pub fn slow(&self, a: usize, b: usize, delay: Duration) {
        for (from, to) in [(a, b), (b, a)] {
            self.links.conduct(from, to, |conduct| {
                conduct.there.delay = delay;
                conduct.back.delay = delay;
            });
        }
    }

    /// At most so many bytes a second between two nodes in each direction.
    pub fn narrow(&self, a: usize, b: usize, bytes_per_second: u32) {
        for (from, to) in [(a, b), (b, a)] {
            self.links.conduct(from, to, |conduct| {
                conduct.there.bytes_per_second = Some(bytes_per_second);
                conduct.back.bytes_per_second = Some(bytes_per_second);
            });
        }
    }

    /// Every link works as it should again.
    pub fn heal(&self) {
        for link in self.links.0.values() {
            link.conduct(|conduct| *conduct = Conduct::default());
        }
    }
}
