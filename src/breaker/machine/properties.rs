//! The breaker's promises under arbitrary histories.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// One thing that happens to a breaker.
#[derive(Clone, Copy, Debug)]
enum Event {
    Admit,
    /// One of the attempts still running ends.
    Report(usize, Outcome),
    Health(bool),
    Force(Mode),
    Tick,
    Wait(u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let gate = prop::option::of(0..400_u64).prop_map(|wait| Outcome::Gate {
        retry_after: wait.map(Duration::from_secs),
    });
    prop_oneof![
        4 => Just(Outcome::Ok),
        5 => Just(Outcome::Hard),
        1 => gate,
        1 => Just(Outcome::Credential),
        1 => Just(Outcome::Caller),
        1 => Just(Outcome::Cancelled),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let mode = prop::sample::select(vec![Mode::Auto, Mode::ForceOpen, Mode::ForceClosed]);
    let wait = prop_oneof![0..2_000_u64, 9_000..70_000_u64, 300_000..700_000_u64];
    prop_oneof![
        30 => Just(Event::Admit),
        30 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Event::Report(which, outcome)),
        3 => any::<bool>().prop_map(Event::Health),
        1 => mode.prop_map(Event::Force),
        3 => Just(Event::Tick),
        10 => wait.prop_map(Event::Wait),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    (0..6_u32, 1..90_u64, 0..4_u32).prop_map(|(failures, recovery, good)| {
        Settings::new(failures, Duration::from_secs(recovery), good)
    })
}

/// Replays events, holding the machine to its word after each.
struct Observer {
    machine: Machine,
    settings: Settings,
    now: Moment,
    running: Vec<Ticket>,
    epoch: u64,
    /// Good probes reported since the breaker became half-open.
    good_probes: u32,
    opened_at: Option<Moment>,
    log: Vec<String>,
}

impl Observer {
    fn replay(settings: Settings, events: &[Event]) -> Result<Self, TestCaseError> {
        let mut observer = Observer {
            machine: Machine::new(settings),
            settings,
            now: Moment::ZERO,
            running: Vec::new(),
            epoch: 0,
            good_probes: 0,
            opened_at: None,
            log: Vec::new(),
        };
        for event in events {
            observer.happens(*event)?;
            let snapshot = observer.machine.snapshot(observer.now);
            prop_assert_eq!(
                snapshot.epoch,
                observer.epoch,
                "a change of epoch nobody was told of"
            );
            observer.log.push(format!("{snapshot:?}"));
        }
        Ok(observer)
    }

    fn happens(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Admit => self.admit(),
            Event::Report(which, outcome) if !self.running.is_empty() => {
                let ticket = self.running.swap_remove(which % self.running.len());
                self.report(ticket, outcome)
            }
            Event::Report(..) => Ok(()),
            Event::Health(up) => {
                let transition = self.machine.health(up, self.now);
                self.told(transition)
            }
            Event::Force(mode) => {
                let transition = self.machine.force(mode, self.now);
                self.told(transition)
            }
            Event::Tick => {
                let transition = self.machine.tick(self.now);
                self.told(transition)
            }
            Event::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                Ok(())
            }
        }
    }

    fn admit(&mut self) -> Result<(), TestCaseError> {
        let promised = self.machine.snapshot(self.now).verdict(self.now);
        let (admission, transition) = self.machine.admit(self.now);
        self.told(transition)?;
        let early = self
            .opened_at
            .is_some_and(|at| self.now < at + self.settings.recovery_timeout);
        match admission {
            Admission::Pass(ticket) => {
                prop_assert_eq!(promised, Verdict::Pass);
                prop_assert!(self.machine.state(self.now) == State::Closed);
                self.running.push(ticket);
            }
            Admission::Probe(ticket) => {
                prop_assert_eq!(promised, Verdict::Probe);
                prop_assert!(!early, "open let something through before its time");
                let lease = self.settings.probe_lease;
                let others = self.running.iter().filter(|other| other.probe.is_some());
                let alive = others
                    .filter(|other| self.now < other.admitted + lease)
                    .count();
                prop_assert_eq!(alive, 0, "two probes at once");
                self.running.push(ticket);
            }
            Admission::Refuse(refused) => prop_assert_eq!(promised, Verdict::Refuse(refused)),
        }
        Ok(())
    }

    fn report(&mut self, ticket: Ticket, outcome: Outcome) -> Result<(), TestCaseError> {
        let state = self.machine.state(self.now);
        let in_lease = self.now < ticket.admitted + self.settings.probe_lease;
        let good = outcome == Outcome::Ok && ticket.probe.is_some() && in_lease;
        if good && ticket.epoch == self.epoch && state == State::HalfOpen {
            self.good_probes += 1;
        }
        let transition = self.machine.record(outcome, ticket, self.now, 0.5);
        if let Some(transition) = transition {
            prop_assert_eq!(ticket.epoch, self.epoch, "an old attempt changed the state");
            match transition.to {
                State::Open => prop_assert_eq!(outcome, Outcome::Hard, "opened by no failure"),
                State::Closed => {
                    let needed = self.settings.success_threshold.max(1);
                    prop_assert_eq!(self.good_probes, needed, "closed too soon or too late");
                }
                State::HalfOpen => prop_assert!(false, "an outcome made it half-open"),
            }
        }
        self.told(transition)
    }

    fn told(&mut self, transition: Option<Transition>) -> Result<(), TestCaseError> {
        let Some(transition) = transition else {
            return Ok(());
        };
        self.log.push(format!("{transition:?}"));
        prop_assert_eq!(transition.epoch, self.epoch + 1, "epochs grow by one");
        prop_assert_eq!(transition.to, self.machine.state(self.now));
        self.epoch = transition.epoch;
        self.good_probes = 0;
        let failed = matches!(
            transition.cause,
            Cause::Streak | Cause::Rate | Cause::ProbeFailed
        );
        self.opened_at = failed.then_some(self.now);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn never_two_probes_and_closed_only_by_good_ones(
        settings in settings(),
        events in vec(event(), 0..300),
    ) {
        Observer::replay(settings, &events)?;
    }

    #[test]
    fn the_same_history_has_the_same_outcome(
        settings in settings(),
        events in vec(event(), 0..300),
    ) {
        let first = Observer::replay(settings, &events)?;
        let second = Observer::replay(settings, &events)?;
        prop_assert_eq!(first.log, second.log);
    }

    #[test]
    fn without_hard_failures_nothing_ever_opens(
        settings in settings(),
        events in vec(event(), 0..300),
    ) {
        let tame = |event: Event| match event {
            Event::Report(which, Outcome::Hard) => {
                Event::Report(which, Outcome::Gate { retry_after: None })
            }
            Event::Force(_) => Event::Tick,
            Event::Admit
            | Event::Report(..)
            | Event::Health(_)
            | Event::Tick
            | Event::Wait(_) => event,
        };
        let events: Vec<_> = events.into_iter().map(tame).collect();
        let observer = Observer::replay(settings, &events)?;
        prop_assert_eq!(observer.epoch, 0);
    }
}
