//! A connection that a guest of the door uses in the other direction: to the same guest elsewhere.

use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::call::sign;
use super::lines::Lines;

/// A connection to a member. Each request says who calls; made when first used, made again by
/// itself when it breaks.
pub type Line = InterceptedService<Channel, Signature>;

/// Puts this node's name on a request.
#[derive(Clone, Debug)]
pub struct Signature(Lines);

impl Signature {
    pub(crate) fn new(lines: Lines) -> Self {
        Signature(lines)
    }
}

impl Interceptor for Signature {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        sign(&self.0, request.metadata_mut());
        Ok(request)
    }
}
