//! Fail points: what may go wrong with a disk, made to go wrong on purpose.
//!
//! A file of lines `<point> <action> [count|*]`, read again whenever it changes:
//!
//! ```text
//! fsync delay:300 *     every sync takes 300 ms longer
//! append enospc         the next append finds the disk full
//! vote crash_after 2    the second next vote is durable, but never answered: the process dies
//! room enospc *         whoever asks for room hears that there is none; writes go on
//! ```
//! `error` and `enospc` fail before the point's work is done, `crash_before` and `crash_after` end
//! the process. The count says how often it happens (1 when it is missing); for the two crashes,
//! which happen once, at which hit.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// Most lines of a file that are kept: a test names a handful.
const MAX_RULES: usize = 64;

/// Where something may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Log entries are written.
    Append,
    /// What was written is made durable.
    Fsync,
    /// A vote is written, made durable and answered.
    Vote,
    /// A snapshot's file is written and published.
    SnapshotWrite,
    /// A snapshot takes the state's place.
    Install,
    /// Entries are applied.
    Apply,
    /// Somebody asks how much room there is: one that fails is a full disk.
    Room,
}

impl Point {
    const ALL: [Point; 7] = [
        Point::Append,
        Point::Fsync,
        Point::Vote,
        Point::SnapshotWrite,
        Point::Install,
        Point::Apply,
        Point::Room,
    ];

    const fn name(self) -> &'static str {
        match self {
            Point::Append => "append",
            Point::Fsync => "fsync",
            Point::Vote => "vote",
            Point::SnapshotWrite => "snapshot_write",
            Point::Install => "install",
            Point::Apply => "apply",
            Point::Room => "room",
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Error,
    NoSpace,
    Delay(Duration),
    CrashBefore,
    CrashAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    point: Point,
    action: Action,
    /// Hits left; `None` is for ever.
    left: Option<u32>,
}

/// The fail points of one store; none outside tests. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    file: Option<Arc<Mutex<Rules>>>,
}

struct Rules {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    rules: Vec<Rule>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.file.is_some() {
            "Faults(from a file)"
        } else {
            "Faults(none)"
        })
    }
}

impl Faults {
    /// Nothing goes wrong on purpose.
    pub(crate) const fn none() -> Self {
        Faults { file: None }
    }

    /// What goes wrong stands in a file, which need not be there yet.
    pub(crate) fn from_file(path: PathBuf) -> Self {
        let rules = Rules {
            path,
            seen: None,
            rules: Vec::new(),
        };
        Faults {
            file: Some(Arc::new(Mutex::new(rules))),
        }
    }

    /// Does a point's work, unless it is to fail.
    pub(super) fn around<T>(
        &self,
        point: Point,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let after = self.before(point)?;
        let done = work()?;
        after.reached();
        Ok(done)
    }

    /// Goes wrong before a point's work; what it returns goes wrong after it.
    pub(super) fn before(&self, point: Point) -> io::Result<After> {
        let Some(file) = &self.file else {
            return Ok(After { crash: false });
        };
        let due = file.lock().due(point)?;
        let mut crash = false;
        for action in due {
            match action {
                Action::Error => {
                    let text = format!("fail point {} is set to fail", point.name());
                    return Err(io::Error::other(text));
                }
                Action::NoSpace => {
                    let text = format!("fail point {}: no space left on device", point.name());
                    return Err(io::Error::new(io::ErrorKind::StorageFull, text));
                }
                Action::Delay(time) => pause(time),
                Action::CrashBefore => std::process::abort(),
                Action::CrashAfter => crash = true,
            }
        }
        Ok(After { crash })
    }
}

/// What is due once a point's work is done.
#[derive(Debug)]
#[must_use]
pub(super) struct After {
    crash: bool,
}

impl After {
    /// The work is done.
    pub(super) fn reached(self) {
        if self.crash {
            std::process::abort();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow disk blocks the thread that waits for it; this is one"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

impl Rules {
    fn due(&mut self, point: Point) -> io::Result<Vec<Action>> {
        self.refresh()?;
        let mut due = Vec::new();
        for rule in self.rules.iter_mut().filter(|rule| rule.point == point) {
            if rule.left == Some(0) {
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            let crash = matches!(rule.action, Action::CrashBefore | Action::CrashAfter);
            if !crash || rule.left.is_none_or(|left| left == 0) {
                due.push(rule.action);
            }
        }
        Ok(due)
    }

    fn refresh(&mut self) -> io::Result<()> {
        let Some(now) = stamp(&self.path)? else {
            self.seen = None;
            self.rules.clear();
            return Ok(());
        };
        if self.seen != Some(now) {
            let text = std::fs::read_to_string(&self.path)?;
            self.rules = parse(&text).map_err(super::frame::bad)?;
            self.seen = Some(now);
        }
        Ok(())
    }
}

fn stamp(path: &Path) -> io::Result<Option<(SystemTime, u64)>> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some((found.modified()?, found.len()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .take(MAX_RULES)
        .map(|line| rule(line).ok_or_else(|| format!("not a fail point: {line}")))
        .collect()
}

fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split_whitespace();
    let point = words.next()?;
    let point = Point::ALL.into_iter().find(|known| known.name() == point)?;
    let action = match words.next()? {
        "error" => Action::Error,
        "enospc" => Action::NoSpace,
        "crash_before" => Action::CrashBefore,
        "crash_after" => Action::CrashAfter,
        other => {
            let millis = other.strip_prefix("delay:")?.parse().ok()?;
            Action::Delay(Duration::from_millis(millis))
        }
    };
    let left = match words.next() {
        None => Some(1),
        Some("*") => None,
        Some(count) => Some(count.parse().ok()?),
    };
    words.next().is_none().then_some(Rule {
        point,
        action,
        left,
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::{Faults, Point, parse};

    #[test]
    fn a_line_that_says_nothing_known_is_refused() {
        for bad in [
            "append",
            "disk error",
            "append explode",
            "append error two",
            "append error 1 2",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("# nothing\n\nfsync delay:5 *\n").unwrap().len(), 1);
    }

    #[test]
    fn a_point_fails_as_often_as_it_is_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faults");
        let faults = Faults::from_file(path.clone());
        let hit = |point| faults.around(point, || Ok(()));
        hit(Point::Append).unwrap();

        std::fs::write(&path, "append error 2\nvote enospc *\n").unwrap();
        for _ in 0..2 {
            hit(Point::Append).unwrap_err();
        }
        hit(Point::Append).unwrap();
        for _ in 0..3 {
            let error = hit(Point::Vote).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }

        std::fs::write(&path, "").unwrap();
        hit(Point::Vote).unwrap();
    }
}
