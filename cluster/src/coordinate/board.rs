//! What the parts of a coordinator share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::Leadership;
use super::contact::Contact;
use super::outbox::Outbox;
use super::server::Streams;
use crate::handle::Heard;
use crate::identity::{BootId, MemberId};
use crate::pulse::{Directive, Report};

/// Reports that wait for the leader part. Each node has at most a few under way; a full queue holds
/// up their streams and nothing else.
const MAX_WAITING: usize = 256;

/// A report and whose it is.
pub(super) type Told = (MemberId, Report);

/// See the module.
pub(super) struct Board {
    pub(super) me: MemberId,
    pub(super) heard: watch::Sender<Arc<Heard>>,
    pub(super) streams: Mutex<Streams>,
    /// To the leader part of this node.
    pub(super) inbox: mpsc::Sender<Told>,
    pub(super) leading: watch::Receiver<Leadership>,
    /// There is something new to send.
    pub(super) wake: Notify,
    /// Nodes without room on their disks, as this leader was told.
    pub(super) full: Mutex<BTreeMap<MemberId, u64>>,
    /// Whether what is agreed arrives here too.
    pub(super) contact: Mutex<Contact>,
    outbox: Mutex<Outbox>,
    start: Instant,
}

impl Board {
    pub(super) fn new(
        (me, boot): (MemberId, BootId),
        leading: watch::Receiver<Leadership>,
        patience: Duration,
    ) -> (Arc<Self>, mpsc::Receiver<Told>) {
        let (inbox, told) = mpsc::channel(MAX_WAITING);
        let board = Board {
            me,
            heard: watch::Sender::default(),
            streams: Mutex::default(),
            inbox,
            leading,
            wake: Notify::new(),
            full: Mutex::default(),
            contact: Mutex::new(Contact::new(patience)),
            outbox: Mutex::new(Outbox::new(boot)),
            start: Instant::now(),
        };
        (Arc::new(board), told)
    }

    /// Time since the coordinator started.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The instant of such a time.
    pub(super) fn instant(&self, time: Duration) -> Instant {
        self.start + time
    }

    pub(super) fn put(&self, report: Report, urgent: bool) {
        self.outbox.lock().put(report, urgent, self.now());
        self.wake.notify_one();
    }

    pub(super) fn drain(&self) {
        self.outbox.lock().drain();
        self.wake.notify_one();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.outbox.lock().is_draining()
    }

    /// Another stream begins: the next report goes at once.
    pub(super) fn begin_stream(&self) {
        self.outbox.lock().begin();
    }

    pub(super) fn due(&self) -> Instant {
        self.instant(self.outbox.lock().due())
    }

    /// The report to send now, with what is left on the disk if that is too little.
    pub(super) fn next_report(&self, full: Option<u64>) -> Report {
        let report = self.outbox.lock().next(self.now());
        Report { full, ..report }
    }

    /// Publishes what a leader says, unless it is of an earlier term than one heard of. So much is
    /// applied here.
    pub(super) fn hear(&self, mut directive: Directive, applied: u64) {
        let newest = self.heard.borrow().directive.term;
        if directive.term < newest.max(self.leading.borrow().term) {
            return;
        }
        self.outbox.lock().take(&mut directive, self.now());
        let now = Instant::now();
        let committed = directive.committed;
        self.contact.lock().hear(committed, applied, now);
        let at = Some(now);
        self.heard.send_replace(Arc::new(Heard { directive, at }));
    }
}
