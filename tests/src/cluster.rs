//! A whole system for one test: database, control plane, data planes and the fault lab, all its own.

use anyhow::{Context, Result};
use switchyard_cli::client::{Admin, Answer, endpoint};
use switchyard_cli::fault_lab::{self, FaultLab};
use switchyard_proto::secret::Secret;
use switchyard_proto::v1;
use tempfile::TempDir;

use crate::client::Client;
use crate::plane::{Place, Plane};
use crate::postgres::{self, TestDatabase};
use crate::wait;

/// A running system. Parts are dropped in this order: callers of others first.
pub struct Cluster {
    pub planes: Vec<Plane>,
    pub control: Plane,
    /// What an operator may do.
    pub admin: Admin,
    pub token: Secret,
    pub lab: FaultLab,
    pub database: TestDatabase,
    pub folder: TempDir,
}

/// How a system is put together.
#[derive(Debug, Clone)]
pub struct Shape {
    pub control: Place,
    /// One for each data plane.
    pub planes: Vec<Place>,
    pub control_settings: Vec<(&'static str, String)>,
    pub plane_settings: Vec<(&'static str, String)>,
}

impl Default for Shape {
    /// Both planes in this process, with the settings of the harness.
    fn default() -> Self {
        Self {
            control: Place::Here,
            planes: vec![Place::Here],
            control_settings: Vec::new(),
            plane_settings: Vec::new(),
        }
    }
}

/// A key as it was made.
#[derive(Debug, Clone)]
pub struct MadeKey {
    pub id: String,
    pub secret: String,
}

impl Shape {
    /// Both planes as the real program, which can be killed and whose logs can be read.
    pub fn of_processes() -> Self {
        Self { control: Place::Child, planes: vec![Place::Child], ..Self::default() }
    }

    /// This many data planes.
    #[must_use]
    pub fn with_planes(mut self, places: &[Place]) -> Self {
        self.planes = places.to_vec();
        self
    }

    /// A setting of every data plane, by its variable.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.plane_settings.push((name, value.into()));
        self
    }

    /// A setting of the control plane, by its variable.
    #[must_use]
    pub fn set_control(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.control_settings.push((name, value.into()));
        self
    }

    /// Starts everything. Tenants, keys, providers and models are the test's to make.
    pub async fn start(self) -> Result<Cluster> {
        let database = postgres::database(&switchyard_control_plane::store::schema::migrations()).await?;
        let folder = tempfile::tempdir()?;
        let mut control = Plane::control(self.control, &database.url, folder.path())?;
        control
            .environment
            .extend(self.control_settings.into_iter().map(|(name, value)| (name.to_owned(), value)));
        control.start().await?;
        let token = first_token(&database.url).await?;
        let admin = Admin::connect(endpoint(&control.url())?, &token).await?;
        let mut planes = Vec::new();
        for (number, place) in self.planes.iter().enumerate() {
            let name = format!("data-plane-{}", number + 1);
            let mut plane = Plane::data(*place, &control.fleet_url(), folder.path(), &name)?;
            plane
                .environment
                .extend(self.plane_settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            plane.start().await?;
            planes.push(plane);
        }
        let lab = FaultLab::start(fault_lab::Settings::recording()).await?;
        Ok(Cluster { planes, control, admin, token, lab, database, folder })
    }
}

/// The token that `switchyard admin init` would print.
async fn first_token(database_url: &str) -> Result<Secret> {
    let pool = sqlx::PgPool::connect(database_url).await?;
    let token = switchyard_control_plane::service::token::init(&pool).await?;
    pool.close().await;
    token.context("a new database has no admin yet")
}

impl Cluster {
    /// Both planes in this process, the lab as the providers `lab` (OpenAI's dialect) and `lab-anthropic`, and the
    /// models `test/echo` and `test/claude` on them.
    pub async fn start() -> Result<Self> {
        Shape::default().start().await?.furnished().await
    }

    /// Adds the lab's providers and the two models that answer with what they are sent.
    pub async fn furnished(self) -> Result<Self> {
        self.provider("lab", "openai", &format!("{}/v1", self.lab.url())).await?;
        self.provider("lab-anthropic", "anthropic", &format!("{}/v1", self.lab.url())).await?;
        self.model("test/echo", &[("lab", "echo")]).await?;
        self.model("test/claude", &[("lab-anthropic", "echo")]).await?;
        Ok(self)
    }

    /// Stops everything in order, so that what the data planes hold is handed over.
    pub async fn stop(mut self) -> Result<()> {
        for plane in &mut self.planes {
            plane.stop().await?;
        }
        self.control.stop().await?;
        self.lab.stop().await;
        Ok(())
    }

    /// A tenant that spends without prepaid credits.
    pub async fn tenant(&self, id: &str) -> Result<v1::Tenant> {
        self.tenant_with(v1::Tenant { id: id.to_owned(), ..Default::default() }, "").await
    }

    /// A tenant as told, prepaid if credits are given.
    pub async fn tenant_with(&self, tenant: v1::Tenant, credits_usd: &str) -> Result<v1::Tenant> {
        let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: credits_usd.to_owned() };
        self.admin.tenants().create_tenant(request).await.answer()?.tenant.context("a tenant comes back")
    }

    /// A key without limits.
    pub async fn key(&self, tenant: &str) -> Result<MadeKey> {
        self.key_with(tenant, v1::Key { name: "test".to_owned(), ..Default::default() }).await
    }

    /// A key whose secret the server makes.
    pub async fn key_with(&self, tenant: &str, key: v1::Key) -> Result<MadeKey> {
        let request =
            v1::CreateKeyRequest { tenant: tenant.to_owned(), key: Some(key), secret: String::new() };
        let made = self.admin.keys().create_key(request).await.answer()?;
        let secret = made.secret.clone();
        Ok(MadeKey { id: made.key.context("a key comes back")?.id, secret })
    }

    /// An operator's provider with a credential.
    pub async fn provider(&self, id: &str, adapter: &str, base_url: &str) -> Result<v1::Provider> {
        self.provider_with(v1::Provider {
            id: id.to_owned(),
            adapter: adapter.to_owned(),
            base_url: base_url.to_owned(),
            credential: format!("credential-of-{id}"),
            ..Default::default()
        })
        .await
    }

    pub async fn provider_with(&self, provider: v1::Provider) -> Result<v1::Provider> {
        let request = v1::CreateProviderRequest { provider: Some(provider) };
        self.admin
            .providers()
            .create_provider(request)
            .await
            .answer()?
            .provider
            .context("a provider comes back")
    }

    /// A model, and one endpoint for each provider and name at that provider.
    pub async fn model(&self, id: &str, served_by: &[(&str, &str)]) -> Result<()> {
        let model = v1::Model { id: id.to_owned(), ..Default::default() };
        self.model_with(
            model,
            served_by.iter().map(|(provider, upstream)| plain_endpoint(provider, upstream)),
        )
        .await
    }

    /// A model with these endpoints.
    pub async fn model_with(
        &self,
        model: v1::Model,
        endpoints: impl IntoIterator<Item = v1::Endpoint>,
    ) -> Result<()> {
        let id = model.id.clone();
        let request = v1::CreateModelRequest { model: Some(model) };
        self.admin.models().create_model(request).await.answer()?;
        for endpoint in endpoints {
            let request = v1::CreateEndpointRequest { model: id.clone(), endpoint: Some(endpoint) };
            self.admin.endpoints().create_endpoint(request).await.answer()?;
        }
        Ok(())
    }

    /// A policy of the operator.
    pub async fn policy(&self, policy: v1::Policy) -> Result<v1::Policy> {
        let request = v1::CreatePolicyRequest { tenant: String::new(), policy: Some(policy) };
        self.admin.policies().create_policy(request).await.answer()?.policy.context("a policy comes back")
    }

    /// A tenant's preset; `config` is JSON.
    pub async fn preset(&self, tenant: &str, preset: v1::Preset) -> Result<v1::Preset> {
        let request = v1::CreatePresetRequest { tenant: tenant.to_owned(), preset: Some(preset) };
        self.admin.presets().create_preset(request).await.answer()?.preset.context("a preset comes back")
    }

    /// A client with a key of a new tenant `acme`, once every data plane serves all that was made so far.
    pub async fn client(&self) -> Result<Client> {
        self.tenant("acme").await?;
        let key = self.key("acme").await?;
        self.settled().await;
        Ok(Client::new(self.planes[0].url(), key.secret))
    }

    /// Waits until every data plane of ours is attached and runs the newest revision.
    pub async fn settled(&self) {
        let planes = self.planes.len();
        wait::until_true("every data plane runs the newest revision", async || {
            let fleet = self.admin.fleet().get_revision(v1::GetRevisionRequest {}).await.answer();
            fleet.is_ok_and(|fleet| fleet.attached as usize >= planes && fleet.attached == fleet.current)
        })
        .await;
    }

    /// The ledger's lines of one generation, once there are this many.
    pub async fn lines(&self, generation: &str, count: usize) -> Vec<v1::Line> {
        let request = v1::ListLinesRequest { generation: generation.to_owned(), ..Default::default() };
        wait::until(&format!("{count} ledger lines of {generation}"), async || {
            let answer = self.admin.usage().list_lines(request.clone()).await.answer();
            answer.ok().map(|answer| answer.lines).filter(|lines| lines.len() >= count)
        })
        .await
    }

    /// A generation, once the control plane knows it.
    pub async fn generation(&self, id: &str) -> v1::Generation {
        let request = v1::GetGenerationRequest { id: id.to_owned() };
        wait::until(&format!("generation {id}"), async || {
            self.admin.usage().get_generation(request.clone()).await.answer().ok()
        })
        .await
    }
}

/// An endpoint with the harness's prices: a million prompt tokens cost a dollar, a million others two.
pub fn plain_endpoint(provider: &str, upstream_id: &str) -> v1::Endpoint {
    let price = v1::Price { input: "1".to_owned(), output: "2".to_owned(), ..Default::default() };
    v1::Endpoint {
        id: format!("{provider}-{upstream_id}"),
        provider: provider.to_owned(),
        upstream_id: upstream_id.to_owned(),
        context_length: 100_000,
        price: Some(price),
        ..Default::default()
    }
}
