//! Asks for a key once there is one. What a path asks for is decided from the route that matched,
//! never from the address as it was sent; a path nobody thought of asks for the most.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, Request};

use super::errors;
use crate::api::credential;
use crate::app::Node;
use crate::error::Error;
use crate::tenancy::{Caller, Scope};
use crate::types::TenantId;

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// Nothing.
    Nothing,
    /// A key, whatever it may do.
    Key,
    /// A key with this scope.
    Scope(Scope),
}

/// By the route that matched; `None` where none did.
fn asks(route: Option<&str>) -> Asks {
    match route {
        Some("/health" | "/ready") => Asks::Nothing,
        Some("/metrics") | None => Asks::Key,
        Some(
            "/chat/completions"
            | "/v1/chat/completions"
            | "/models"
            | "/v1/models"
            | "/models/{*id}"
            | "/v1/models/{*id}"
            | "/embeddings"
            | "/v1/embeddings"
            | "/completions"
            | "/v1/completions"
            | "/responses"
            | "/v1/responses"
            | "/responses/{id}"
            | "/v1/responses/{id}"
            | "/messages"
            | "/v1/messages"
            | "/messages/count_tokens"
            | "/v1/messages/count_tokens"
            | "/generate"
            | "/v1/generate",
        ) => Asks::Scope(Scope::Use),
        Some(_) => Asks::Scope(Scope::Admin),
    }
}

/// Lets a caller in who has what the route asks for, and says who it is to what comes after.
pub(super) async fn check(
    State(node): State<Arc<Node>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    match admit(&node, asks(route.map(MatchedPath::as_str)), &request) {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(error) => {
            return errors::render_for(request.uri().path(), request.headers(), &error);
        }
    }
    next.run(request).await
}

fn admit(node: &Node, asks: Asks, request: &Request<Body>) -> Result<Option<Caller>, Error> {
    let needed = match asks {
        Asks::Nothing => return Ok(None),
        Asks::Key => None,
        Asks::Scope(scope) => Some(scope),
    };
    let caller = credential::caller(&node.keys, request.headers())?;
    if let Some(scope) = needed {
        caller.need(scope)?;
    }
    Ok(Some(caller))
}

/// Who calls, as [`check`] found.
pub(super) fn caller(extensions: &Extensions) -> Caller {
    Caller::found(extensions.get())
}

/// Who pays for a request.
pub(super) fn tenant(extensions: &Extensions) -> TenantId {
    Caller::payer(extensions.get())
}

#[cfg(test)]
mod tests {
    use super::{Asks, asks};
    use crate::tenancy::Scope;

    /// Every `.route("…")` of the door, as its source has them, with the prefixes it nests under.
    fn routes() -> Vec<String> {
        let source = include_str!("../http.rs");
        let place = |mark: &str| source.find(mark).unwrap();
        let (api, admin) = (place("fn api("), place("fn admin("));
        let mut routes = Vec::new();
        for (at, call) in source.match_indices(".route(") {
            let path = source[at + call.len()..].trim_start();
            let path = path.strip_prefix('"').unwrap().split('"').next().unwrap();
            if (api..admin).contains(&at) {
                routes.extend([path.to_owned(), format!("/v1{path}")]);
            } else if at > admin {
                routes.push(format!("/admin/v1{path}"));
            } else {
                routes.push(path.to_owned());
            }
        }
        routes
    }

    #[test]
    fn every_route_asks_for_what_it_should() {
        let open = ["/health", "/ready"];
        let used = [
            "/chat/completions",
            "/completions",
            "/responses",
            "/responses/{id}",
            "/embeddings",
            "/messages",
            "/messages/count_tokens",
            "/models",
            "/models/{*id}",
            "/generate",
        ];
        let routes = routes();
        let count = include_str!("../http.rs").matches(".route(").count();
        assert!(routes.len() > count && count > 25, "{routes:?}");
        for route in &routes {
            let bare = route.strip_prefix("/v1").unwrap_or(route);
            let expected = if open.contains(&route.as_str()) {
                Asks::Nothing
            } else if route == "/metrics" {
                Asks::Key
            } else if used.contains(&bare) {
                Asks::Scope(Scope::Use)
            } else {
                assert!(route.starts_with("/admin/v1/"), "{route}: who may use it?");
                Asks::Scope(Scope::Admin)
            };
            assert_eq!(asks(Some(route)), expected, "{route}");
        }
    }

    #[test]
    fn a_route_nobody_thought_of_asks_for_the_most_and_no_route_for_a_key() {
        assert_eq!(asks(Some("/v1/files")), Asks::Scope(Scope::Admin));
        assert_eq!(asks(None), Asks::Key);
    }
}
