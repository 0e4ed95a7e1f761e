//! Who lends money: the control plane, or a scripted one in tests.

use futures_util::future::BoxFuture;
use switchyard_proto::v1;

use crate::link::{CallError, Link};

/// Lends account money and takes it back.
pub trait Lender: Send + Sync + 'static {
    /// Asks for money: one grant per ask, in order.
    fn acquire(&self, request: v1::AcquireRequest) -> BoxFuture<'_, Result<v1::AcquireResponse, CallError>>;

    /// Gives money back. After [`CallError::Lost`] it is gone: a second try could give it back twice.
    fn give_back(&self, request: v1::ReturnRequest) -> BoxFuture<'_, Result<(), CallError>>;

    /// Whether giving back is worth trying now.
    fn is_reachable(&self) -> bool;
}

impl Lender for Link {
    fn acquire(&self, request: v1::AcquireRequest) -> BoxFuture<'_, Result<v1::AcquireResponse, CallError>> {
        Box::pin(Link::acquire(self, request))
    }

    fn give_back(&self, request: v1::ReturnRequest) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(Link::give_back(self, request))
    }

    fn is_reachable(&self) -> bool {
        Link::is_reachable(self)
    }
}
