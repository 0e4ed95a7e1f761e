//! The admin port alone: real services on a database of its own, behind a scripted fleet.
//!
//! For tests of what people may do and see. Whole systems are started elsewhere.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::{Buf, BufMut};
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use prost::Message;
use sqlx::{PgPool, postgres::PgPoolOptions};
use switchyard_control_plane::{
    crypto::{Crypto, master::MasterKey},
    domain::{fleet::Instance, health},
    error::ServiceError,
    grpc, rest,
    service::{self, State},
    store::schema,
};
use switchyard_proto::{seal, secret::Secret, v1};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use crate::postgres::{self, TestDatabase};

/// Adapters that this port knows.
pub const ADAPTERS: &[&str] = &["anthropic", "openai"];

/// The admin port, an operator's token for it, and what stands behind it.
pub struct AdminPort {
    pub addr: SocketAddr,
    pub pool: PgPool,
    pub crypto: Crypto,
    pub fleet: Arc<ScriptedFleet>,
    /// The first token.
    pub operator: String,
    channel: Channel,
    // Ends the server before the database goes.
    _server: JoinSet<()>,
    _database: TestDatabase,
}

impl AdminPort {
    /// Starts it on a fresh database.
    pub async fn start() -> Result<Self> {
        let database = postgres::database(&schema::migrations()).await?;
        let pool = pool(&database.url)?;
        let operator = service::token::init(&pool).await?.context("a fresh database has no operator")?;
        let master = MasterKey::from_base64(&Secret::new(seal::generate_base64()))?;
        let crypto = Crypto::new(Arc::new(master));
        let fleet = Arc::new(ScriptedFleet::default());
        let state = State {
            pool: pool.clone(),
            crypto: crypto.clone(),
            fleet: fleet.clone(),
            adapters: ADAPTERS.into(),
        };
        let (addr, server) = serve(state).await?;
        let channel = Endpoint::from_shared(format!("http://{addr}"))?.connect_lazy();
        let operator = operator.expose().to_owned();
        Ok(Self { addr, pool, crypto, fleet, operator, channel, _server: server, _database: database })
    }

    /// Calls an RPC, e.g. `KeyService/CreateKey`, as the operator.
    pub async fn call<A: Message, B: Message + Default>(&self, rpc: &str, request: &A) -> Result<B, Status> {
        self.call_as(&self.operator, rpc, request).await
    }

    /// Calls an RPC with a token.
    pub async fn call_as<A: Message, B: Message + Default>(
        &self,
        token: &str,
        rpc: &str,
        request: &A,
    ) -> Result<B, Status> {
        let answer = self.call_raw(Some(token), rpc, request.encode_to_vec()).await?;
        B::decode(answer.as_slice()).map_err(|error| Status::internal(error.to_string()))
    }

    /// Calls an RPC with an encoded message, with a token or without.
    pub async fn call_raw(
        &self,
        token: Option<&str>,
        rpc: &str,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        let mut request = Request::new(request);
        if let Some(token) = token {
            let bearer = MetadataValue::try_from(format!("Bearer {token}"));
            let bearer = bearer.map_err(|error| Status::internal(error.to_string()))?;
            request.metadata_mut().insert("authorization", bearer);
        }
        let mut client = self.client().await?;
        Ok(client.unary(request, path(&format!("switchyard.v1.{rpc}"))?, Raw).await?.into_inner())
    }

    /// The first answer to one message on a stream, by the RPC's full name.
    pub async fn first_of_stream(&self, rpc: &str, request: Vec<u8>) -> Result<Vec<u8>, Status> {
        let request = Request::new(tokio_stream::once(request));
        let mut answers = self.client().await?.streaming(request, path(rpc)?, Raw).await?.into_inner();
        answers.message().await?.ok_or_else(|| Status::internal("no answer"))
    }

    async fn client(&self) -> Result<Grpc<Channel>, Status> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(client)
    }

    /// Makes a tenant.
    pub async fn tenant(&self, id: &str) -> Result<v1::Tenant, Status> {
        let tenant = v1::Tenant { id: id.to_owned(), ..Default::default() };
        let request = v1::CreateTenantRequest { tenant: Some(tenant), ..Default::default() };
        let made: v1::CreateTenantResponse = self.call("TenantService/CreateTenant", &request).await?;
        Ok(made.tenant.unwrap_or_default())
    }

    /// Makes a key that has a name and nothing else.
    pub async fn key(&self, tenant: &str, name: &str) -> Result<v1::CreateKeyResponse, Status> {
        let key = v1::Key { name: name.to_owned(), ..Default::default() };
        let request =
            v1::CreateKeyRequest { tenant: tenant.to_owned(), key: Some(key), ..Default::default() };
        self.call("KeyService/CreateKey", &request).await
    }

    /// Makes a provider with a credential.
    pub async fn provider(&self, id: &str, credential: &str) -> Result<v1::Provider, Status> {
        let provider = v1::Provider {
            id: id.to_owned(),
            adapter: "openai".to_owned(),
            base_url: "https://api.example.com/v1".to_owned(),
            credential: credential.to_owned(),
            ..Default::default()
        };
        let request = v1::CreateProviderRequest { provider: Some(provider) };
        let made: v1::CreateProviderResponse = self.call("ProviderService/CreateProvider", &request).await?;
        Ok(made.provider.unwrap_or_default())
    }

    /// Makes a tenant's own credential for a provider.
    pub async fn credential(&self, tenant: &str, id: &str, provider: &str) -> Result<v1::Credential, Status> {
        let credential = v1::Credential {
            id: id.to_owned(),
            provider: provider.to_owned(),
            secret: "sk-own".to_owned(),
            ..Default::default()
        };
        let request = v1::CreateCredentialRequest { tenant: tenant.to_owned(), credential: Some(credential) };
        self.call("CredentialService/CreateCredential", &request).await
    }

    /// Makes a model that has an id and nothing else.
    pub async fn model(&self, id: &str) -> Result<v1::Model, Status> {
        let model = v1::Model { id: id.to_owned(), ..Default::default() };
        let made: v1::CreateModelResponse =
            self.call("ModelService/CreateModel", &v1::CreateModelRequest { model: Some(model) }).await?;
        Ok(made.model.unwrap_or_default())
    }

    /// Makes an endpoint.
    pub async fn endpoint(&self, model: &str, provider: &str) -> Result<v1::Endpoint, Status> {
        let endpoint = v1::Endpoint {
            provider: provider.to_owned(),
            upstream_id: "m".to_owned(),
            context_length: 1000,
            ..Default::default()
        };
        let request = v1::CreateEndpointRequest { model: model.to_owned(), endpoint: Some(endpoint) };
        let made: v1::CreateEndpointResponse = self.call("EndpointService/CreateEndpoint", &request).await?;
        Ok(made.endpoint.unwrap_or_default())
    }

    /// Makes a policy of one stage with the model `a/m`; the operator's where `tenant` is empty.
    pub async fn policy(&self, tenant: &str, id: &str) -> Result<v1::Policy, Status> {
        let model = v1::WeightedModel { model: "a/m".to_owned(), weight: 0 };
        let stage = v1::PolicyStage { models: vec![model], ..Default::default() };
        let policy = v1::Policy { id: id.to_owned(), stages: vec![stage], ..Default::default() };
        let request = v1::CreatePolicyRequest { tenant: tenant.to_owned(), policy: Some(policy) };
        let made: v1::CreatePolicyResponse = self.call("PolicyService/CreatePolicy", &request).await?;
        Ok(made.policy.unwrap_or_default())
    }

    /// Makes a preset that says which model is meant.
    pub async fn preset(&self, tenant: &str, id: &str) -> Result<v1::Preset, Status> {
        let config = r#"{"model":"a/m"}"#.to_owned();
        let preset = v1::Preset { id: id.to_owned(), config, ..Default::default() };
        let request = v1::CreatePresetRequest { tenant: tenant.to_owned(), preset: Some(preset) };
        let made: v1::CreatePresetResponse = self.call("PresetService/CreatePreset", &request).await?;
        Ok(made.preset.unwrap_or_default())
    }

    /// Makes a webhook of an owner; the operator's where `tenant` is empty.
    pub async fn webhook(&self, tenant: &str, id: &str) -> Result<v1::CreateWebhookResponse, Status> {
        let url = "https://hooks.example.com/".to_owned();
        let webhook = v1::Webhook { id: id.to_owned(), url, ..Default::default() };
        let request = v1::CreateWebhookRequest { tenant: tenant.to_owned(), webhook: Some(webhook) };
        self.call("WebhookService/CreateWebhook", &request).await
    }

    /// Makes a token of a role; a tenant's, or of all tenants where `tenant` is empty.
    pub async fn token(&self, role: v1::Role, tenant: &str) -> Result<v1::CreateTokenResponse, Status> {
        let token = v1::Token {
            name: format!("{role:?} {tenant}"),
            role: role.into(),
            tenant: tenant.to_owned(),
            ..Default::default()
        };
        self.call("TokenService/CreateToken", &v1::CreateTokenRequest { token: Some(token) }).await
    }
}

fn path(rpc: &str) -> Result<PathAndQuery, Status> {
    format!("/{rpc}").parse().map_err(|_| Status::internal("not a path"))
}

/// A pool that tells quickly when its database is gone.
pub fn pool(url: &str) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(2)).connect_lazy(url)?)
}

/// Serves the admin port until the set is dropped.
pub async fn serve(state: State) -> Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let port = rest::port(grpc::routes(state).await);
    let mut server = JoinSet::new();
    server.spawn(async move {
        // Ends only by being dropped.
        axum::serve(listener, port).await.ok();
    });
    Ok((addr, server))
}

/// A fleet that does as it is told.
#[derive(Default)]
pub struct ScriptedFleet {
    is_behind: AtomicBool,
    instances: Mutex<Vec<Instance>>,
}

impl ScriptedFleet {
    /// From now on no revision is served in time.
    pub fn fall_behind(&self) {
        self.is_behind.store(true, Ordering::SeqCst);
    }

    /// Who is known.
    pub fn set_instances(&self, instances: Vec<Instance>) {
        *self.instances.lock().unwrap_or_else(PoisonError::into_inner) = instances;
    }
}

impl service::Fleet for ScriptedFleet {
    fn served(&self, _revision: u64, _within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(!self.is_behind.load(Ordering::SeqCst)))
    }

    fn instances(&self) -> BoxFuture<'_, Result<Vec<Instance>, ServiceError>> {
        let instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(std::future::ready(Ok(instances)))
    }

    fn health(&self) -> BoxFuture<'_, Result<Vec<health::Endpoint>, ServiceError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Messages as bytes: calls any RPC without knowing its types.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}
