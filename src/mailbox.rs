//! A bounded way into an actor that may be restarted under us.
//!
//! ractor's own mailboxes have no bound, so the bound sits in front: a place is taken before the
//! message is sent and travels inside it until the actor is done with it. The address survives
//! restarts: the supervisor puts the new incarnation in, senders notice nothing but a short
//! [`Undelivered::Gone`].

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use ractor::ActorRef;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A message and the place it occupies until it is handled.
#[derive(Debug)]
pub(crate) struct Posted<M> {
    /// The order.
    pub(crate) message: M,
    _place: Option<OwnedSemaphorePermit>,
}

impl<M> Posted<M> {
    /// A message the actor sends itself, timers included: bounded by being re-armed after handling.
    pub(crate) fn own(message: M) -> Self {
        Posted {
            message,
            _place: None,
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// Every place is taken.
    Full,
    /// The actor is being restarted, or has ended.
    Gone,
}

/// The address of an actor over all its incarnations.
#[derive(Debug)]
pub(crate) struct Mailbox<M: Send + 'static> {
    actor: Arc<ArcSwapOption<ActorRef<Posted<M>>>>,
    places: Arc<Semaphore>,
}

impl<M: Send + 'static> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Mailbox {
            actor: Arc::clone(&self.actor),
            places: Arc::clone(&self.places),
        }
    }
}

impl<M: Send + 'static> Mailbox<M> {
    /// An address with room for `capacity` unhandled messages and nobody behind it yet.
    pub(crate) fn new(capacity: usize) -> Self {
        Mailbox {
            actor: Arc::default(),
            places: Arc::new(Semaphore::new(capacity)),
        }
    }

    /// Puts an incarnation behind the address.
    pub(crate) fn attach(&self, actor: ActorRef<Posted<M>>) {
        self.actor.store(Some(Arc::new(actor)));
    }

    /// Takes the incarnation away.
    pub(crate) fn detach(&self) {
        self.actor.store(None);
    }

    /// The incarnation behind the address; tests end it as a bug would.
    #[cfg(test)]
    pub(crate) fn actor(&self) -> Option<ActorRef<Posted<M>>> {
        self.actor.load().as_deref().cloned()
    }

    /// Sends an order, if there is a place for it.
    pub(crate) fn try_post(&self, message: M) -> Result<(), Undelivered> {
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Undelivered::Full)?;
        self.send(Posted {
            message,
            _place: Some(place),
        })
    }

    /// Sends news that somebody admitted owes the actor (a permit coming back, an attempt's end):
    /// there are never more of them than admitted requests, so they need no place of their own.
    pub(crate) fn post_owed(&self, message: M) {
        // nobody home: the next incarnation starts from the shared state, not from this message
        let _ = self.send(Posted {
            message,
            _place: None,
        });
    }

    fn send(&self, posted: Posted<M>) -> Result<(), Undelivered> {
        let actor = self.actor.load();
        let actor = actor.as_deref().ok_or(Undelivered::Gone)?;
        actor.send_message(posted).map_err(|_| Undelivered::Gone)
    }
}

#[cfg(test)]
mod tests {
    use ractor::{Actor, ActorProcessingErr, ActorRef};

    use super::{Mailbox, Posted, Undelivered};

    struct Sleeper;
    impl Actor for Sleeper {
        type Msg = Posted<tokio::sync::oneshot::Receiver<()>>;
        type State = ();
        type Arguments = ();
        async fn pre_start(
            &self,
            _: ActorRef<Self::Msg>,
            (): (),
        ) -> Result<(), ActorProcessingErr> {
            Ok(())
        }
        async fn handle(
            &self,
            _: ActorRef<Self::Msg>,
            posted: Self::Msg,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            let Posted { message, _place } = posted;
            let _ = message.await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_full_mailbox_refuses_and_an_empty_address_says_gone() {
        let mailbox = Mailbox::new(2);
        let wait = || tokio::sync::oneshot::channel::<()>();
        let (_keep, first) = wait();
        assert_eq!(mailbox.try_post(first), Err(Undelivered::Gone));

        let (actor, task) = Actor::spawn(None, Sleeper, ()).await.unwrap();
        mailbox.attach(actor.clone());
        let (one, first) = wait();
        let (two, second) = wait();
        mailbox.try_post(first).unwrap();
        mailbox.try_post(second).unwrap();
        let (_three, third) = wait();
        assert_eq!(mailbox.try_post(third), Err(Undelivered::Full));

        drop((one, two));
        let mut freed = false;
        for _ in 0..200 {
            let (_go, next) = wait();
            freed = mailbox.try_post(next).is_ok();
            if freed {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(freed, "handled messages give their places back");
        actor.stop(None);
        task.await.unwrap();
    }
}
