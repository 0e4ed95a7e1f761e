//! One push: everything that a data plane lacks, in chunks, in make-before-break order, with its checksum.
//!
//! Differences are read once per step and shared by all sessions; what is too large to keep is read for each of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use prost::Message;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use switchyard_proto::v1;
use tokio::sync::{Mutex, OnceCell, mpsc};

use crate::{
    crypto::{Crypto, CryptoError},
    distribution::{policy, snapshot},
    domain::{meta::Revision, provider::origin},
    store::{
        self, StoreError,
        feed::{Reader, State, Table},
    },
};

/// Resources and bytes after which a chunk is full.
const CHUNK_RESOURCES: usize = 500;
const CHUNK_BYTES: usize = 1024 * 1024;
/// Resources of a difference that is still kept for other sessions.
const MOST_SHARED: u64 = 20_000;
/// Longest time that a data plane may let a chunk wait: a transaction and a turn are held meanwhile.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

mod credentials;

/// Why a push could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session ended meanwhile.
    #[error("nobody listens any more")]
    Gone,
    #[error("too large to keep")]
    TooLarge,
    /// The master key is out of reach; later it may not be.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<sqlx::Error> for PushError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a session lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Everything,
    Since(u64),
}

/// Decides whether a difference can bring `held` up to `state`.
pub fn lack(held: Option<&Revision>, state: &State) -> Lack {
    match held {
        Some(held)
            if held.incarnation == state.revision.incarnation
                && held.number >= state.tombstones_from
                && held.number <= state.revision.number =>
        {
            Lack::Since(held.number)
        }
        _ => Lack::Everything,
    }
}

/// A difference that several sessions can be sent.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub since: u64,
    pub chunks: Vec<v1::Chunk>,
    pub end: End,
}

/// What closes a push.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub revision: Revision,
    pub checksum: u64,
    pub resources: u64,
}

/// Differences of the newest step, by the revision that they start from.
#[derive(Debug, Default)]
pub struct Shared {
    step: Mutex<Step>,
}

#[derive(Debug, Default)]
struct Step {
    newest: Option<Revision>,
    differences: HashMap<u64, Arc<OnceCell<Option<Arc<Difference>>>>>,
}

impl Shared {
    /// The difference from `held` to `newest` or later, read once however many sessions ask.
    ///
    /// `None`: no difference leads there, or it is too large to be kept.
    pub async fn difference(
        &self,
        source: &Source,
        held: &Revision,
        newest: &Revision,
    ) -> Result<Option<Arc<Difference>>, PushError> {
        let cell = {
            let mut step = self.step.lock().await;
            if step.newest.as_ref() != Some(newest) {
                *step = Step { newest: Some(newest.clone()), differences: HashMap::new() };
            }
            Arc::clone(step.differences.entry(held.number).or_default())
        };
        cell.get_or_try_init(|| source.difference(held)).await.cloned()
    }

    /// Forgets what was read, credentials in the clear above all.
    pub async fn forget(&self) {
        *self.step.lock().await = Step::default();
    }
}

/// Where pushes are read from.
#[derive(Clone)]
pub struct Source {
    pub pool: PgPool,
    pub crypto: Crypto,
}

impl Source {
    async fn difference(&self, held: &Revision) -> Result<Option<Arc<Difference>>, PushError> {
        let (mut reader, state) = Reader::open(&self.pool).await?;
        let Lack::Since(since) = lack(Some(held), &state) else { return Ok(None) };
        let mut packer = Packer::new(Sink::Keep(Vec::new()));
        match self.read(&mut reader, Lack::Since(since), &mut packer).await {
            Err(PushError::TooLarge) => return Ok(None),
            read => read?,
        }
        let (sink, end) = packer.finish(state.revision).await?;
        let Sink::Keep(chunks) = sink else { return Ok(None) };
        Ok(Some(Arc::new(Difference { since, chunks, end })))
    }

    /// Reads what `held` lacks straight into a session's stream, chunk by chunk: also a million keys.
    ///
    /// # Errors
    /// [`PushError::Gone`] when the session ends meanwhile.
    pub async fn stream(
        &self,
        held: Option<&Revision>,
        to: mpsc::Sender<Result<v1::WatchResponse, tonic::Status>>,
    ) -> Result<End, PushError> {
        let (mut reader, state) = Reader::open(&self.pool).await?;
        let lack = lack(held, &state);
        to.send(Ok(begin(lack, &state.revision))).await.map_err(|_| PushError::Gone)?;
        let mut packer = Packer::new(Sink::Send(to));
        self.read(&mut reader, lack, &mut packer).await?;
        let (_, end) = packer.finish(state.revision).await?;
        Ok(end)
    }

    /// Reads in make-before-break order: parents before children, and what is gone the other way round.
    async fn read(&self, reader: &mut Reader, lack: Lack, to: &mut Packer) -> Result<(), PushError> {
        let since = match lack {
            Lack::Everything => None,
            Lack::Since(since) => Some(since),
        };
        for provider in self.providers(reader, since).await? {
            to.put(provider).await?;
        }
        put_all(to, reader.models(since), snapshot::model).await?;
        put_all(to, reader.endpoints(since), snapshot::endpoint).await?;
        put_all(to, reader.tenants(since), snapshot::tenant).await?;
        self.credentials(reader, since, to).await?;
        put_all(to, reader.policies(since), policy::resource).await?;
        put_all(to, reader.presets(since), snapshot::preset).await?;
        put_all(to, reader.keys(since), snapshot::key).await?;
        if lack == Lack::Everything {
            return Ok(());
        }
        for table in [
            Table::Keys,
            Table::Presets,
            Table::Policies,
            Table::Credentials,
            Table::Tenants,
            Table::Endpoints,
            Table::Models,
            Table::Providers,
        ] {
            put_all(to, reader.tombstones(table, since), |row| snapshot::tombstone(table, row)).await?;
        }
        Ok(())
    }

    async fn providers(
        &self,
        reader: &mut Reader,
        since: Option<u64>,
    ) -> Result<Vec<v1::Resource>, PushError> {
        let mut rows = reader.providers(since).await?;
        for row in &mut rows {
            if let Err(invalid) = snapshot::fill_in(row) {
                tracing::error!(provider.id = row.id, %invalid, "a provider's profile cannot be filled in");
            }
        }
        let origins: HashMap<String, String> =
            rows.iter().filter_map(|row| Some((row.id.clone(), origin(&row.base_url).ok()?))).collect();
        let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        let mut credentials: HashMap<String, Vec<v1::CredentialConfig>> = HashMap::new();
        for credential in store::sealed::of_providers(reader.connection(), &ids).await? {
            let provider = credential.provider.as_str();
            // A newer catalogue may know another address; the credential was given for the old one.
            if origins.get(provider) != Some(&credential.sealed.place.origin) {
                tracing::error!(
                    provider.id = provider,
                    "a credential is sealed to another origin; give it again"
                );
                continue;
            }
            // A damaged credential fails its provider alone; holding back everything would be worse.
            match self.crypto.open(&credential.sealed).await {
                Ok(secret) => {
                    credentials.entry(provider.to_owned()).or_default().push(v1::CredentialConfig {
                        id: credential.id,
                        secret: secret.expose().to_owned(),
                        weight: credential.weight,
                        rates: None,
                    })
                }
                Err(error @ CryptoError::Unavailable(_)) => return Err(error.into()),
                Err(error) => {
                    tracing::error!(provider.id = provider, %error, "a credential cannot be opened");
                }
            }
        }
        let with_credentials = |row: store::feed::Provider| {
            let credentials = credentials.remove(&row.id).unwrap_or_default();
            snapshot::provider(row, credentials)
        };
        Ok(rows.into_iter().map(with_credentials).collect())
    }
}

async fn put_all<T>(
    to: &mut Packer,
    mut rows: BoxStream<'_, sqlx::Result<T>>,
    resource: impl Fn(T) -> v1::Resource,
) -> Result<(), PushError> {
    while let Some(row) = rows.next().await {
        to.put(resource(row?)).await?;
    }
    Ok(())
}

/// The message that opens a push.
pub fn begin(lack: Lack, newest: &Revision) -> v1::WatchResponse {
    let since = match lack {
        Lack::Everything => None,
        Lack::Since(number) => Some(v1::Revision { incarnation: newest.incarnation.clone(), number }),
    };
    message(v1::watch_response::Kind::Begin(v1::Begin { full: lack == Lack::Everything, since }))
}

/// The message that closes a push.
pub fn commit(end: &End) -> v1::WatchResponse {
    let revision =
        v1::Revision { incarnation: end.revision.incarnation.clone(), number: end.revision.number };
    message(v1::watch_response::Kind::Commit(v1::Commit {
        revision: Some(revision),
        checksum: end.checksum,
        resources: end.resources,
    }))
}

/// Wraps one kind of message.
pub fn message(kind: v1::watch_response::Kind) -> v1::WatchResponse {
    v1::WatchResponse { kind: Some(kind) }
}

/// Where chunks go.
enum Sink {
    Keep(Vec<v1::Chunk>),
    Send(mpsc::Sender<Result<v1::WatchResponse, tonic::Status>>),
}

/// Packs resources into chunks and sums them up.
struct Packer {
    sink: Sink,
    chunk: Vec<Vec<u8>>,
    chunk_bytes: usize,
    checksum: u64,
    resources: u64,
}

impl Packer {
    fn new(sink: Sink) -> Self {
        Self { sink, chunk: Vec::new(), chunk_bytes: 0, checksum: 0, resources: 0 }
    }

    async fn put(&mut self, resource: v1::Resource) -> Result<(), PushError> {
        let encoded = resource.encode_to_vec();
        if self.chunk.len() >= CHUNK_RESOURCES || self.chunk_bytes + encoded.len() > CHUNK_BYTES {
            self.flush().await?;
        }
        self.checksum = self.checksum.wrapping_add(checksum(&encoded));
        self.resources += 1;
        self.chunk_bytes += encoded.len();
        self.chunk.push(encoded);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), PushError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.chunk_bytes = 0;
        let chunk = v1::Chunk { resources: std::mem::take(&mut self.chunk) };
        match &mut self.sink {
            Sink::Keep(_) if self.resources > MOST_SHARED => return Err(PushError::TooLarge),
            Sink::Keep(chunks) => chunks.push(chunk),
            Sink::Send(to) => {
                let chunk = message(v1::watch_response::Kind::Chunk(chunk));
                to.send_timeout(Ok(chunk), TAKEN_WITHIN).await.map_err(|_| PushError::Gone)?;
            }
        }
        Ok(())
    }

    async fn finish(mut self, revision: Revision) -> Result<(Sink, End), PushError> {
        self.flush().await?;
        Ok((self.sink, End { revision, checksum: self.checksum, resources: self.resources }))
    }
}

/// One resource's part of the checksum: the first eight bytes, little endian, of its SHA-256.
fn checksum(encoded: &[u8]) -> u64 {
    let digest = Sha256::digest(encoded);
    let (head, _) = digest.split_first_chunk::<8>().expect("SHA-256 has 32 bytes");
    u64::from_le_bytes(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(incarnation: &str, number: u64) -> Revision {
        Revision { incarnation: incarnation.into(), number }
    }

    #[test]
    fn a_difference_needs_the_same_store_and_all_its_tombstones() {
        let state = State { revision: revision("a", 10), tombstones_from: 4 };
        for (held, expected) in [
            (None, Lack::Everything),
            (Some(revision("b", 10)), Lack::Everything),
            (Some(revision("a", 3)), Lack::Everything),
            (Some(revision("a", 4)), Lack::Since(4)),
            (Some(revision("a", 10)), Lack::Since(10)),
            (Some(revision("a", 11)), Lack::Everything),
        ] {
            assert_eq!(lack(held.as_ref(), &state), expected, "{held:?}");
        }
    }

    fn resource(revision: u64, text: &str) -> v1::Resource {
        let model = v1::ModelConfig { id: text.into(), ..Default::default() };
        v1::Resource { revision, body: Some(v1::resource::Body::Model(model)) }
    }

    async fn packed(resources: Vec<v1::Resource>) -> (Vec<usize>, End) {
        let mut packer = Packer::new(Sink::Keep(Vec::new()));
        for resource in resources {
            packer.put(resource).await.unwrap();
        }
        let (sink, end) = packer.finish(revision("a", 1)).await.unwrap();
        let Sink::Keep(chunks) = sink else { panic!("kept") };
        (chunks.iter().map(|chunk| chunk.resources.len()).collect(), end)
    }

    #[tokio::test]
    async fn chunks_are_bounded_by_count_and_by_bytes() {
        let many = (0..1001).map(|number| resource(number, "a/b")).collect();
        assert_eq!(packed(many).await.0, [500, 500, 1]);
        let large = (0..3).map(|number| resource(number, &"x".repeat(CHUNK_BYTES / 2))).collect();
        assert_eq!(packed(large).await.0, [1, 1, 1]);
        assert_eq!(packed(Vec::new()).await.0, [0; 0]);
    }

    #[tokio::test]
    async fn the_checksum_is_additive() {
        let one = packed(vec![resource(1, "a/b")]).await.1.checksum;
        let two = packed(vec![resource(2, "a/c")]).await.1.checksum;
        let both = packed(vec![resource(2, "a/c"), resource(1, "a/b")]).await.1;
        assert_eq!((both.checksum, both.resources), (one.wrapping_add(two), 2));
        let encoded = resource(1, "a/b").encode_to_vec();
        let digest: [u8; 32] = Sha256::digest(&encoded).into();
        assert_eq!(one, u64::from_le_bytes(digest[..8].try_into().unwrap()));
    }
}
