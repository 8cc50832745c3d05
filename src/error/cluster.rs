//! Why the cluster said no, as an error of the node. The one place that turns one into the other.

use llm_router_cluster as cluster;
use llm_router_cluster::Rejected;
use llm_router_cluster::error::Refused;

use super::{Error, Fault, Kind, Retry};

impl From<cluster::Error> for Error {
    fn from(refused: cluster::Error) -> Self {
        use cluster::Error as E;
        let message = refused.to_string();
        let error = match &refused {
            E::NoQuorum { retry_after, .. } => {
                Error::new(Kind::NoQuorum, message).with_retry(Retry::After(*retry_after))
            }
            E::Timeout | E::Stopped => Error::new(Kind::NoQuorum, message),
            E::Behind { .. } => Error::new(Kind::Behind, message),
            E::DiskFull { .. } => Error::new(Kind::InsufficientStorage, message),
            E::Rejected(rejected) => Error::new(rejection(rejected), message),
            E::Busy => Error::new(Kind::Overloaded, message),
            E::Refused(why) => Error::new(order(why), message),
            E::Unreachable { .. } => Error {
                fault: Fault::Peer,
                ..Error::new(Kind::Unavailable, message)
            },
            E::Store(_) => Error::new(Kind::Internal, message),
        };
        error.with_source(refused)
    }
}

fn rejection(rejected: &Rejected) -> Kind {
    match rejected {
        Rejected::Stale { .. } | Rejected::Illegal { .. } | Rejected::Exists { .. } => {
            Kind::Conflict
        }
        Rejected::NotFound { .. } => Kind::NotFound,
        Rejected::TooMuch { .. } => Kind::TooLarge,
    }
}

fn order(refused: &Refused) -> Kind {
    match refused {
        Refused::NotMember { .. } => Kind::NotFound,
        Refused::Impostor { .. } => Kind::Forbidden,
        Refused::WrongCluster { .. }
        | Refused::NameTaken { .. }
        | Refused::OtherData { .. }
        | Refused::TooOld { .. }
        | Refused::Unwise(_) => Kind::Conflict,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use llm_router_cluster as cluster;
    use llm_router_cluster::error::Refused;
    use llm_router_cluster::{Error as E, Rejected};

    use crate::api::status;
    use crate::error::{Error, Fault, Retry};

    fn http(refused: E) -> u16 {
        status::of(Error::from(refused).kind).http
    }

    #[test]
    fn every_no_of_the_cluster_has_its_status() {
        let no_quorum = || E::NoQuorum {
            retry_after: Duration::from_secs(2),
            maybe_applied: false,
        };
        let wanted = |wanted| E::Behind { wanted, newest: 1 };
        let full = E::DiskFull {
            free_mib: 1,
            place: "n1".to_owned(),
        };
        let stale = |expected| Rejected::Stale {
            expected,
            current: 5,
        };
        assert_eq!(http(no_quorum()), 503);
        assert_eq!(http(E::Timeout), 503);
        assert_eq!(http(E::Stopped), 503);
        assert_eq!(http(wanted(7)), 503);
        assert_eq!(http(E::Busy), 503);
        assert_eq!(http(full), 507);
        assert_eq!(http(stale(3).into()), 409);
        let what = || "revision 9".to_owned();
        assert_eq!(http(Rejected::NotFound { what: what() }.into()), 404);
        assert_eq!(http(Rejected::Exists { what: what() }.into()), 409);
        assert_eq!(http(Rejected::TooMuch { what: what() }.into()), 413);
        let stranger = Refused::NotMember { name: "n9".into() };
        assert_eq!(http(stranger.into()), 404);
        assert_eq!(http(Refused::Unwise("two voters".into()).into()), 409);
        assert_eq!(http(E::Store("torn".into())), 500);
        let retry = Error::from(no_quorum()).retry;
        assert_eq!(retry, Retry::After(Duration::from_secs(2)));
    }

    #[test]
    fn the_cause_stays_inside_for_doors_that_say_more() {
        let lost = Error::from(E::Rejected(Rejected::Stale {
            expected: 3,
            current: 5,
        }));
        assert!(lost.message.contains('3') && lost.message.contains('5'));
        let source = std::error::Error::source(&lost).unwrap();
        assert!(source.downcast_ref::<cluster::Error>().is_some());
        let away = E::Unreachable {
            peer: "n2".into(),
            reason: "refused".into(),
        };
        assert_eq!(Error::from(away).fault, Fault::Peer);
    }
}
