//! Hears the control plane's pushes, compiles them off the request path, swaps the snapshot and answers ACK or NACK.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::watch_request::Kind as Up;
use switchyard_proto::v1::watch_response::Kind as Down;
use switchyard_proto::v1::{Applied, Begin, Commit, Hello, Recall, Resource, WatchRequest, Welcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use crate::config::Current;
use crate::config::compile::compile;
use crate::config::disk::Disk;
use crate::config::fleet;
use crate::config::snapshot::Revision;
use crate::limits::Limits;
use crate::link::{Link, Session};
use crate::routing::health::Health;
use crate::telemetry::{metrics as names, record};

/// Shortest and longest wait before the control plane is dialled again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Keeps this process's config the control plane's.
pub struct Watch {
    pub link: Arc<Link>,
    pub current: Arc<Current>,
    pub limits: Arc<Limits>,
    pub health: Arc<Health>,
    pub disk: Disk,
    pub instance: String,
    pub region: String,
    /// Set when a push could not be used, so that the next hello asks for everything.
    pub distrusts: bool,
}

/// A push on its way in.
#[derive(Debug)]
struct Push {
    begin: Begin,
    resources: Vec<Resource>,
    checksum: u64,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the control plane cannot be reached or broke off")]
    Lost(#[from] tonic::Status),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("the control plane broke the protocol: {0}")]
    Protocol(&'static str),
}

impl Watch {
    /// Watches until told to stop, dialling again with growing, jittered waits; writes what waits at the end.
    pub async fn run(mut self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.redial()).await;
        self.disk.flush(&self.current);
    }

    async fn redial(&mut self) {
        let mut wait = BACKOFF.0;
        loop {
            let attached = std::time::Instant::now();
            let Err(ended) = self.session().await;
            self.link.detach();
            self.current.detached();
            self.disk.flush(&self.current);
            if attached.elapsed() > BACKOFF.1 {
                wait = BACKOFF.0;
            }
            tracing::warn!(error = %ended, cause = ?std::error::Error::source(&ended), retry_ms = wait.as_millis(), "config stream ended");
            tokio::time::sleep(wait.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            wait = (wait * 2).min(BACKOFF.1);
        }
    }

    async fn session(&mut self) -> Result<std::convert::Infallible, Ended> {
        let (up, requests) = mpsc::channel(4);
        let hello = WatchRequest { kind: Some(Up::Hello(self.hello())) };
        up.send(hello).await.map_err(|_| Ended::Closed)?;
        let stream = self.link.config_client().watch(ReceiverStream::new(requests)).await?.into_inner();
        self.listen(stream, up).await
    }

    fn hello(&self) -> Hello {
        let snapshot = self.current.load();
        let held = (snapshot.revision.number > 0 && !self.distrusts).then(|| snapshot.revision.to_proto());
        Hello {
            instance: self.instance.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            region: self.region.clone(),
            held,
            seen: self.disk.seen().map(Revision::to_proto),
            orphan: false,
        }
    }

    async fn listen(
        &mut self,
        mut stream: Streaming<switchyard_proto::v1::WatchResponse>,
        up: mpsc::Sender<WatchRequest>,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut push: Option<Push> = None;
        let mut flush = tokio::time::interval(Duration::from_secs(1));
        loop {
            let message = tokio::select! {
                message = stream.message() => message?.ok_or(Ended::Closed)?,
                _ = flush.tick() => {
                    self.disk.flush(&self.current);
                    continue;
                }
            };
            match message.kind {
                Some(Down::Welcome(welcome)) => self.welcome(welcome),
                Some(Down::Begin(begin)) => push = Some(Push { begin, resources: Vec::new(), checksum: 0 }),
                Some(Down::Chunk(chunk)) => {
                    let push = push.as_mut().ok_or(Ended::Protocol("a chunk before a begin"))?;
                    for encoded in chunk.resources {
                        push.checksum = push.checksum.wrapping_add(checksum(&encoded));
                        let resource = Resource::decode(encoded.as_slice());
                        push.resources
                            .push(resource.map_err(|_| Ended::Protocol("a resource cannot be read"))?);
                    }
                }
                Some(Down::Commit(commit)) => {
                    let push = push.take().ok_or(Ended::Protocol("a commit before a begin"))?;
                    let applied = self.commit(push, &commit);
                    up.send(WatchRequest { kind: Some(Up::Applied(applied)) })
                        .await
                        .map_err(|_| Ended::Closed)?;
                }
                Some(Down::Health(view)) => {
                    metrics::gauge!(names::FLEET_HEALTH).set(view.endpoints.len() as f64);
                    self.health.learn(fleet::from_proto(view));
                }
                Some(Down::Recall(Recall { accounts })) => self.limits.recall(&accounts),
                None => tracing::warn!("the control plane sent a message that this version does not know"),
            }
        }
    }

    fn welcome(&self, Welcome { epoch, incarnation, released_epoch }: Welcome) {
        let instance = switchyard_proto::id::InstanceId::new(self.instance.as_str());
        tracing::info!(epoch, incarnation, "attached to the control plane");
        if released_epoch > 0 {
            tracing::info!(released_epoch, "what earlier sessions were lent was released by an operator");
        }
        self.link.attach(Session { instance, epoch, incarnation, released_epoch });
        self.current.attached();
    }

    /// Takes a whole push, or throws it away and says why.
    fn commit(&mut self, push: Push, commit: &Commit) -> Applied {
        let revision = commit.revision.clone().unwrap_or_default();
        if let Err(reason) = self.verify(&push, commit) {
            tracing::error!(reason, revision = revision.number, "a config push was thrown away");
            self.distrusts = true;
            return Applied { revision: Some(revision), refused: Vec::new(), broken: reason.to_owned() };
        }
        let Push { begin, resources, .. } = push;
        let owners = owners(&resources);
        let revision = Revision { incarnation: revision.incarnation.into(), number: revision.number };
        self.disk.keep(begin.full, &resources, &revision);
        let compiled = compile(&self.current.load(), begin.full, resources, revision.clone());
        let refused = compiled.refused;
        for refusal in &refused {
            tracing::error!(
                resource = refusal.id,
                field = refusal.field,
                reason = refusal.reason,
                "a config resource was refused"
            );
        }
        self.current.swap(compiled.snapshot);
        let endpoints = &self.current.load().catalogue.endpoints;
        self.health.retain(|model, endpoint| endpoints.contains_key(&(model.clone(), endpoint.clone())));
        self.distrusts = false;
        if begin.full {
            self.limits.config_replaced();
        } else {
            self.limits.config_changed(&owners.iter().map(String::as_str).collect::<Vec<_>>());
        }
        record::config(&revision, refused.len());
        Applied { revision: Some(revision.to_proto()), refused, broken: String::new() }
    }

    fn verify(&self, push: &Push, commit: &Commit) -> Result<(), &'static str> {
        if push.resources.len() as u64 != commit.resources {
            return Err("the number of resources is not the announced one");
        }
        if push.checksum != commit.checksum {
            return Err("the checksum is not the announced one");
        }
        let held = self.current.load().revision.to_proto();
        if !push.begin.full && push.begin.since.as_ref() != Some(&held) {
            return Err("the difference starts from a revision that is not held");
        }
        Ok(())
    }
}

/// One encoded resource's share of a push's checksum.
fn checksum(encoded: &[u8]) -> u64 {
    let digest = Sha256::digest(encoded);
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// Tenants, keys and providers' credentials that a push touches: what is remembered of their budgets may be wrong now.
/// Of a provider that is gone only its own name is known; denials end by themselves a second later.
fn owners(resources: &[Resource]) -> Vec<String> {
    let ids = resources.iter().flat_map(|resource| match &resource.body {
        Some(Body::Tenant(tenant)) => vec![tenant.id.clone()],
        Some(Body::Key(key)) => vec![key.id.clone()],
        Some(Body::Provider(provider)) => provider.credentials.iter().map(|row| row.id.clone()).collect(),
        Some(Body::Tombstone(tombstone)) => vec![tombstone.id.clone()],
        Some(
            Body::Model(_) | Body::Endpoint(_) | Body::Credential(_) | Body::Policy(_) | Body::Preset(_),
        )
        | None => Vec::new(),
    });
    ids.collect()
}
