//! The fleet half of the control plane, seen by data planes: config, leases, usage, forwarded calls, outages.
//!
//! A real control plane on a database of its own; the data planes are scripted by the tests.

use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use switchyard_control_plane::{
    app::{self, ControlPlane, Host},
    jobs, service,
    settings::{Drift, FleetTls, Money, Retention, Settings, Webhooks},
    store::schema,
};
use switchyard_proto::{
    seal,
    secret::Secret,
    v1::{
        self, account_service_client::AccountServiceClient, config_service_client::ConfigServiceClient,
        ingest_service_client::IngestServiceClient, key_service_client::KeyServiceClient,
        lease_service_client::LeaseServiceClient, tenant_service_client::TenantServiceClient,
    },
};
use switchyard_tests::{
    postgres::{self, TestDatabase},
    wait::until,
};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming, transport::Channel};

mod account;
mod budgets;
mod config;
mod credentials;
mod drift;
mod health;
mod ingest;
mod leases;
mod outage;
mod proof;
mod release;

/// Longest wait for anything that must happen.
const SOON: Duration = Duration::from_secs(20);

/// A control plane, and a way around it into its database.
struct Plane {
    plane: ControlPlane,
    pool: PgPool,
    token: String,
    shutdown: CancellationToken,
    _database: Option<TestDatabase>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn settings(url: &str) -> Settings {
    let free = "127.0.0.1:0".parse().unwrap();
    Settings {
        admin_listen: free,
        fleet_listen: free,
        ops_listen: free,
        database_url: Secret::new(url),
        database_connections: 10,
        master_key: Secret::new(seal::generate_base64()),
        migrate: true,
        fleet_tls: FleetTls::default(),
        money: Money { presume_after: Duration::from_secs(600) },
        drift: Drift { keep: Duration::from_secs(86_400) },
        retention: Retention { generations_days: 0, lines_days: 0 },
        webhooks: Webhooks {
            allow_private: true,
            allow_private_tenants: false,
            timeout: Duration::from_secs(5),
        },
    }
}

impl Plane {
    async fn start() -> Self {
        let database = postgres::database(&schema::migrations()).await.unwrap();
        let mut plane = Self::on(&database.url).await;
        plane._database = Some(database);
        plane
    }

    async fn on(url: &str) -> Self {
        Self::with(settings(url)).await
    }

    async fn with(settings: Settings) -> Self {
        let shutdown = CancellationToken::new();
        let host = Host { metrics: None, adapters: vec!["openai"] };
        let plane = app::start(settings.clone(), host, shutdown.clone()).await.unwrap();
        assert!(time::timeout(SOON, plane.ready()).await.unwrap());
        let pool = PgPool::connect(settings.database_url.expose()).await.unwrap();
        let token = service::token::init(&pool).await.unwrap().map(|token| token.expose().to_owned());
        Self { plane, pool, token: token.unwrap_or_default(), shutdown, _database: None }
    }

    async fn fleet(&self) -> Channel {
        connect(self.plane.fleet_addr).await
    }

    async fn leases(&self) -> LeaseServiceClient<Channel> {
        LeaseServiceClient::new(self.fleet().await)
    }

    async fn usage(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.fleet().await)
    }

    async fn config(&self) -> ConfigServiceClient<Channel> {
        ConfigServiceClient::new(self.fleet().await)
    }

    async fn account(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.fleet().await)
    }

    async fn admin(&self) -> Channel {
        connect(self.plane.admin_addr).await
    }

    fn as_operator<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {}", self.token).parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }

    /// Makes a tenant; with credits it is prepaid.
    async fn tenant(&self, id: &str, credits_usd: &str) {
        let tenant = v1::Tenant { id: id.into(), name: id.into(), ..Default::default() };
        let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: credits_usd.into() };
        let mut client = TenantServiceClient::new(self.admin().await);
        client.create_tenant(self.as_operator(request)).await.unwrap();
    }

    /// Makes a key of `acme`, with a limit unless that is empty.
    async fn key(&self, name: &str, limit_usd: &str, reset: v1::Reset) -> v1::CreateKeyResponse {
        let limit = v1::SpendLimit { usd: limit_usd.into(), reset: reset.into() };
        let limit = (!limit_usd.is_empty()).then_some(limit);
        let key = v1::Key { name: name.into(), limit, ..Default::default() };
        let request = v1::CreateKeyRequest { tenant: "acme".into(), key: Some(key), secret: String::new() };
        let mut client = KeyServiceClient::new(self.admin().await);
        client.create_key(self.as_operator(request)).await.unwrap().into_inner()
    }

    /// Every balance is what the ledger and the leases add up to.
    async fn assert_adds_up(&self) {
        let proof = service::ledger::prove_all(&self.pool).await.unwrap();
        assert!(proof.holds(), "{proof:#?}");
    }

    /// (charged, presumed, lent) of an account.
    async fn balance(&self, account: &v1::AccountPeriod) -> (i64, i64, i64) {
        let row = sqlx::query_as(
            "SELECT charged, presumed, lent FROM accounts WHERE kind = $1 AND owner = $2 AND period = $3",
        );
        row.bind(i16::try_from(account.kind).unwrap())
            .bind(&account.owner)
            .bind(&account.period)
            .fetch_optional(&self.pool)
            .await
            .unwrap()
            .unwrap_or_default()
    }

    async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.pool).await.unwrap()
    }
}

async fn connect(addr: std::net::SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{addr}")).unwrap();
    endpoint.connect().await.unwrap()
}

fn account(kind: v1::AccountKind, owner: &str, period: &str) -> v1::AccountPeriod {
    v1::AccountPeriod { kind: kind.into(), owner: owner.into(), period: period.into() }
}

/// A data plane with an open config stream.
struct DataPlane {
    instance: String,
    epoch: u64,
    incarnation: String,
    released_epoch: u64,
    outbound: mpsc::Sender<v1::WatchRequest>,
    inbound: Streaming<v1::WatchResponse>,
}

/// One push, checked for sequence and checksum.
#[derive(Debug)]
struct Push {
    full: bool,
    since: Option<u64>,
    revision: v1::Revision,
    resources: Vec<v1::Resource>,
}

impl Push {
    /// What each resource is, in the order sent.
    fn shown(&self) -> Vec<String> {
        use v1::resource::Body;
        let show = |resource: &v1::Resource| match resource.body.as_ref().unwrap() {
            Body::Provider(provider) => format!("provider {}", provider.id),
            Body::Model(model) => format!("model {}", model.id),
            Body::Endpoint(endpoint) => format!("endpoint {}#{}", endpoint.model, endpoint.id),
            Body::Tenant(tenant) => format!("tenant {}", tenant.id),
            Body::Credential(credential) => format!("credential {}#{}", credential.tenant, credential.id),
            Body::Policy(policy) => format!("policy {}#{}", policy.tenant, policy.id),
            Body::Preset(preset) => format!("preset {}#{}", preset.tenant, preset.id),
            Body::Key(key) => format!("key {}", key.name),
            Body::Tombstone(gone) => format!("gone {} {}", gone.kind().as_str_name(), gone.id),
        };
        self.resources.iter().map(show).collect()
    }
}

impl DataPlane {
    async fn attach(plane: &Plane, instance: &str, held: Option<v1::Revision>) -> Self {
        let (outbound, requests) = mpsc::channel(8);
        let hello =
            v1::Hello { instance: instance.into(), version: "test".into(), held, ..Default::default() };
        send(&outbound, v1::watch_request::Kind::Hello(hello)).await;
        let answer = plane.config().await.watch(ReceiverStream::new(requests)).await.unwrap();
        let mut inbound = answer.into_inner();
        let Some(v1::watch_response::Kind::Welcome(welcome)) = next(&mut inbound).await.unwrap().kind else {
            panic!("no welcome")
        };
        let v1::Welcome { epoch, incarnation, released_epoch } = welcome;
        Self { instance: instance.into(), epoch, incarnation, released_epoch, outbound, inbound }
    }

    /// Attaches, and applies everything.
    async fn current(plane: &Plane, instance: &str) -> Self {
        let mut this = Self::attach(plane, instance, None).await;
        this.take().await;
        this
    }

    async fn push(&mut self) -> Push {
        let mut begin = None;
        let mut resources = Vec::new();
        loop {
            match next(&mut self.inbound).await.unwrap().kind.unwrap() {
                v1::watch_response::Kind::Begin(message) => begin = Some(message),
                v1::watch_response::Kind::Chunk(chunk) => resources.extend(
                    chunk.resources.iter().map(|encoded| v1::Resource::decode(encoded.as_slice()).unwrap()),
                ),
                v1::watch_response::Kind::Commit(commit) => {
                    let begin = begin.expect("begin comes first");
                    assert_eq!(commit.resources, resources.len() as u64);
                    assert_eq!(commit.checksum, checksum(&resources));
                    let since = begin.since.map(|since| since.number);
                    let revision = commit.revision.unwrap();
                    return Push { full: begin.full, since, revision, resources };
                }
                other => panic!("{other:?} inside a push"),
            }
        }
    }

    /// Takes a push and says so.
    async fn take(&mut self) -> Push {
        let push = self.push().await;
        self.answer(&push.revision, Vec::new(), "").await;
        push
    }

    async fn answer(&self, revision: &v1::Revision, refused: Vec<v1::Refusal>, broken: &str) {
        let applied = v1::Applied { revision: Some(revision.clone()), refused, broken: broken.into() };
        send(&self.outbound, v1::watch_request::Kind::Applied(applied)).await;
    }

    /// The next recall; pushes in between are passed over.
    async fn recalled(&mut self) -> Vec<v1::AccountPeriod> {
        loop {
            if let Some(v1::watch_response::Kind::Recall(recall)) =
                next(&mut self.inbound).await.unwrap().kind
            {
                return recall.accounts;
            }
        }
    }

    /// Takes pushes until the control plane ends the stream.
    async fn end(&mut self) -> tonic::Status {
        loop {
            if let Err(status) = next(&mut self.inbound).await {
                return status;
            }
        }
    }
}

async fn send(outbound: &mpsc::Sender<v1::WatchRequest>, kind: v1::watch_request::Kind) {
    outbound.send(v1::WatchRequest { kind: Some(kind) }).await.unwrap();
}

async fn next(inbound: &mut Streaming<v1::WatchResponse>) -> Result<v1::WatchResponse, tonic::Status> {
    let message = time::timeout(SOON, inbound.message()).await.expect("a message in time")?;
    message.ok_or_else(|| tonic::Status::ok("the end"))
}

fn checksum(resources: &[v1::Resource]) -> u64 {
    let part = |resource: &v1::Resource| {
        let hash = Sha256::digest(resource.encode_to_vec());
        u64::from_le_bytes(hash[..8].try_into().unwrap())
    };
    resources.iter().map(part).fold(0, u64::wrapping_add)
}
