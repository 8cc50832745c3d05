//! Asks for a key once there is one. What a call needs is said where its service is mounted, so it
//! is decided by the service that answers and not by the path that was sent.

use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Extensions, Request, Status};

use super::identify::request_id;
use super::status;
use crate::api::credential;
use crate::error::Error;
use crate::tenancy::{Caller, Keys, Scope};
use crate::types::TenantId;

/// Lets callers in who have a key with a scope, or any key.
#[derive(Clone, Debug)]
pub(super) struct Authorize {
    keys: Keys,
    scope: Option<Scope>,
}

impl Authorize {
    /// Any key will do.
    pub(super) fn any(keys: &Keys) -> Self {
        Authorize {
            keys: keys.clone(),
            scope: None,
        }
    }

    /// Only keys with this scope.
    pub(super) fn scope(keys: &Keys, scope: Scope) -> Self {
        Authorize {
            keys: keys.clone(),
            scope: Some(scope),
        }
    }

    /// Puts itself in front of a service.
    pub(super) fn guard<S>(self, service: S) -> InterceptedService<S, Self> {
        InterceptedService::new(service, self)
    }

    fn admit(&self, call: &Request<()>) -> Result<Caller, Error> {
        let caller = credential::caller(&self.keys, call.metadata().as_ref())?;
        if let Some(scope) = self.scope {
            caller.need(scope)?;
        }
        Ok(caller)
    }
}

impl Interceptor for Authorize {
    fn call(&mut self, mut call: Request<()>) -> Result<Request<()>, Status> {
        match self.admit(&call) {
            Ok(caller) => {
                call.extensions_mut().insert(caller);
                Ok(call)
            }
            Err(error) => {
                let id = request_id(call.metadata().as_ref());
                Err(status::report(&error, &id))
            }
        }
    }
}

/// Who calls, as [`Authorize`] found.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    Caller::found(extensions.get())
}

/// Who pays for a call.
pub(super) fn tenant(extensions: &Extensions) -> TenantId {
    Caller::payer(extensions.get())
}
