//! The gRPC face of the distribution: `ConfigService` on the fleet port.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use switchyard_proto::{
    clock,
    v1::{self, config_service_server::ConfigService},
};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    distribution::{Feed, fleet::Attached, push, refused::Refused, session::Session, snapshot},
    domain::meta::Revision,
    error::ServiceError,
    store::{self, StoreError, instance::Hello},
};

/// Messages that may wait for a slow data plane: chunks of a megabyte at most.
const QUEUE: usize = 4;
/// Time to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the store.
const PATIENCE: Duration = Duration::from_secs(5);
const LONGEST_NAME: usize = 200;
/// Why a journal is not taken over.
const ATTACHED: &str = "a data plane is attached as this instance";

/// Serves config streams and key look-ups.
pub struct Service {
    feed: Feed,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Service {
    /// Sessions run in `tasks` and end at shutdown.
    pub fn new(feed: Feed, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        Self { feed, tasks, shutdown }
    }

    /// Opens a session for the journal of a data plane that is gone: a welcome, and no config.
    async fn adopt(&self, hello: &v1::Hello) -> Result<Outbound, Status> {
        check(hello)?;
        let feed = self.feed.inner();
        let row = self.row(hello, clock::now());
        let Some((epoch, released)) = within(store::instance::adopt(&feed.source.pool, &row)).await? else {
            return Err(Status::aborted(ATTACHED));
        };
        within(self.feed.refresh()).await?;
        tracing::info!(
            instance.id = hello.instance,
            epoch,
            "the journal of a lost data plane is handed over"
        );
        let (outbound, stream) = mpsc::channel(1);
        outbound.try_send(Ok(self.welcome_of(epoch, released))).expect("the queue is new and empty");
        Ok(ReceiverStream::new(stream))
    }

    fn row<'a>(&self, hello: &'a v1::Hello, now: DateTime<Utc>) -> Hello<'a> {
        Hello {
            instance: &hello.instance,
            version: &hello.version,
            region: &hello.region,
            replica: self.feed.inner().replica,
            now,
        }
    }

    async fn attach(&self, hello: &v1::Hello) -> Result<(Arc<Attached>, i64, Refused), Status> {
        let feed = self.feed.inner();
        let now = clock::now();
        let row = self.row(hello, now);
        // An older session of it may not have written down yet what it was refused.
        self.feed.record(&feed.sessions.take_dirty()).await;
        let (epoch, released, refused) = within(store::instance::attach(&feed.source.pool, &row)).await?;
        // Who holds nothing has refused nothing of it.
        let refused = if hello.held.is_some() { refused } else { Vec::new() };
        // Whatever changed before the hello is pushed at once, not at the next poll.
        within(self.feed.refresh()).await?;
        let attached = Arc::new(Attached::new(hello.instance.clone(), epoch, refused.clone(), now));
        feed.sessions.attach(Arc::clone(&attached));
        Ok((attached, released, Refused::from_rows(refused)))
    }

    async fn welcome(
        &self,
        hello: v1::Hello,
        inbound: Streaming<v1::WatchRequest>,
    ) -> Result<Outbound, Status> {
        check(&hello)?;
        let (attached, released, refused) = self.attach(&hello).await?;
        tracing::info!(
            instance.id = attached.instance,
            epoch = attached.epoch,
            version = hello.version,
            region = hello.region,
            held = hello.held.as_ref().map_or(0, |held| held.number),
            "a data plane attaches"
        );
        let (outbound, stream) = mpsc::channel(QUEUE);
        warn_of_time_travel(&hello, &self.incarnation(), self.feed.inner().newest.borrow().as_ref());
        let welcome = self.welcome_of(attached.epoch, released);
        outbound.try_send(Ok(welcome)).expect("the queue is new and empty");
        let held = hello.held.map(|held| Revision { incarnation: held.incarnation, number: held.number });
        let session = Session { feed: self.feed.clone(), attached, outbound, held, refused };
        self.tasks.spawn(session.run(inbound, self.shutdown.clone()));
        Ok(ReceiverStream::new(stream))
    }

    fn welcome_of(&self, epoch: i64, released: i64) -> v1::WatchResponse {
        let number = |epoch| u64::try_from(epoch).unwrap_or(0);
        let (epoch, released_epoch) = (number(epoch), number(released));
        let welcome = v1::Welcome { epoch, incarnation: self.incarnation(), released_epoch };
        push::message(v1::watch_response::Kind::Welcome(welcome))
    }

    fn incarnation(&self) -> String {
        let newest = self.feed.inner().newest.borrow();
        newest.as_ref().map(|newest| newest.incarnation.clone()).unwrap_or_default()
    }
}

type Outbound = ReceiverStream<Result<v1::WatchResponse, Status>>;

#[tonic::async_trait]
impl ConfigService for Service {
    type WatchStream = Outbound;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !may_carry_secrets(&request) {
            return Err(Status::failed_precondition("credentials travel over TLS or loopback only"));
        }
        let mut inbound = request.into_inner();
        let first = time::timeout(HELLO_WITHIN, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello"))??;
        match first.and_then(|message| message.kind) {
            Some(v1::watch_request::Kind::Hello(hello)) if hello.orphan => {
                Ok(Response::new(self.adopt(&hello).await?))
            }
            Some(v1::watch_request::Kind::Hello(hello)) => {
                Ok(Response::new(self.welcome(hello, inbound).await?))
            }
            _ => Err(Status::invalid_argument("the first message is not hello")),
        }
    }

    async fn lookup_key(
        &self,
        request: Request<v1::LookupKeyRequest>,
    ) -> Result<Response<v1::LookupKeyResponse>, Status> {
        let sha256 = request.into_inner().sha256;
        if sha256.len() != 32 {
            return Err(ServiceError::invalid("sha256", "is not 32 bytes").into());
        }
        let found = within(store::feed::by_secret(&self.feed.inner().source.pool, &sha256)).await?;
        Ok(Response::new(match found {
            None => v1::LookupKeyResponse::default(),
            Some((key, tenant)) => v1::LookupKeyResponse {
                key: Some(snapshot::key_config(key)),
                tenant: Some(snapshot::tenant_config(tenant)),
            },
        }))
    }
}

/// Credentials are in the pushes: the far end has shown a certificate, or is on this machine.
fn may_carry_secrets<T>(request: &Request<T>) -> bool {
    request.peer_certs().is_some() || request.remote_addr().is_some_and(|peer| peer.ip().is_loopback())
}

fn check(hello: &v1::Hello) -> Result<(), ServiceError> {
    let is_name =
        |text: &str| text.len() <= LONGEST_NAME && text.chars().all(|character| !character.is_control());
    if hello.instance.is_empty() || !is_name(&hello.instance) {
        return Err(ServiceError::invalid("hello.instance", "is not the id of an instance"));
    }
    for (field, text) in [("hello.version", &hello.version), ("hello.region", &hello.region)] {
        if !is_name(text) {
            return Err(ServiceError::invalid(field, "is too long or has control characters"));
        }
    }
    Ok(())
}

/// A data plane that has seen more than we have: the store was restored without a new incarnation.
fn warn_of_time_travel(hello: &v1::Hello, incarnation: &str, newest: Option<&Revision>) {
    let Some((seen, newest)) = hello.seen.as_ref().zip(newest) else { return };
    if seen.incarnation == incarnation && seen.number > newest.number {
        tracing::error!(
            instance.id = hello.instance,
            seen = seen.number,
            newest = newest.number,
            "the database went back in time: give `config_state` a new incarnation"
        );
    }
}

/// A store call with an end: a frozen database counts as out of reach.
async fn within<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, ServiceError> {
    let call = time::timeout(PATIENCE, call).await;
    Ok(call.map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut)).flatten()?)
}
