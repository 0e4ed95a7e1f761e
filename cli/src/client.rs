//! The admin API as the commands use it: address, token, and errors that people can act on.
//!
//! Token and address come from flags or the environment, else from the folder of a running `switchyard dev`.

use std::{future::Future, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow};
use clap::Args;
use switchyard_proto::{code::ErrorCode, secret::Secret, v1};
use tonic::{
    Code, Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    data_dir::{self, DataDir},
    output::Output,
};

/// Where the control plane listens unless told otherwise.
pub const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8081";

const CONNECT: Duration = Duration::from_secs(5);
const CALL: Duration = Duration::from_secs(60);

/// Most rows of one page.
const PAGE: u32 = 1_000;

/// Flags of every admin command.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// The control plane's admin address [default: that of the running `switchyard dev`, else http://127.0.0.1:8081]
    #[arg(
        long,
        value_name = "URL",
        env = "SWITCHYARD_ADMIN_ADDR",
        hide_env_values = true,
        global = true,
        help_heading = "Connection"
    )]
    pub addr: Option<String>,
    /// An admin token [default: the one in <DATA_DIR>/admin-token]
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SWITCHYARD_ADMIN_TOKEN",
        hide_env_values = true,
        global = true,
        help_heading = "Connection"
    )]
    pub token: Option<String>,
    /// PEM file of the authority behind an https:// address
    #[arg(long, value_name = "FILE", global = true, help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// The folder of `switchyard dev`, for address and token
    #[arg(long, value_name = "DIR", default_value = data_dir::DEFAULT, global = true, help_heading = "Connection")]
    pub data_dir: PathBuf,
    /// What to print
    #[arg(long, short, value_enum, default_value = "table", global = true, help_heading = "Output")]
    pub output: Output,
}

/// A connection to the admin API. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    channel: Channel,
    bearer: Bearer,
}

/// What the generated clients run on.
pub type Service = InterceptedService<Channel, Bearer>;

/// Sends the token along with every call.
#[derive(Clone)]
pub struct Bearer(AsciiMetadataValue);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// One method per service, each a fresh client on the same connection.
macro_rules! services {
    ($($name:ident: $module:ident::$client:ident;)*) => {
        impl Admin {$(
            pub fn $name(&self) -> v1::$module::$client<Service> {
                v1::$module::$client::with_interceptor(self.channel.clone(), self.bearer.clone())
                    .max_decoding_message_size(LARGEST_ANSWER)
            }
        )*}
    };
}

services! {
    tenants: tenant_service_client::TenantServiceClient;
    keys: key_service_client::KeyServiceClient;
    credentials: credential_service_client::CredentialServiceClient;
    providers: provider_service_client::ProviderServiceClient;
    models: model_service_client::ModelServiceClient;
    endpoints: endpoint_service_client::EndpointServiceClient;
    policies: policy_service_client::PolicyServiceClient;
    presets: preset_service_client::PresetServiceClient;
    usage: usage_service_client::UsageServiceClient;
    webhooks: webhook_service_client::WebhookServiceClient;
    fleet: fleet_service_client::FleetServiceClient;
    ledger: ledger_service_client::LedgerServiceClient;
    drift: drift_service_client::DriftServiceClient;
    audit: audit_service_client::AuditServiceClient;
    tokens: token_service_client::TokenServiceClient;
    apply: apply_service_client::ApplyServiceClient;
}

/// Pages of a thousand rows and whole exports are larger than tonic's default.
const LARGEST_ANSWER: usize = 256 << 20;

impl Remote {
    /// The connection that the flags name.
    ///
    /// # Errors
    /// Without a token, for an unusable address, and when nobody answers there.
    pub async fn connect(&self) -> anyhow::Result<Admin> {
        let (address, token) = (self.address(), self.secret()?);
        let mut endpoint = endpoint(&address)?;
        if address.starts_with("https://") {
            endpoint = endpoint.tls_config(self.tls()?)?;
        }
        Admin::connect(endpoint, &token).await.with_context(|| unreachable(&address))
    }

    /// The admin address: flag or environment, running `dev`, default.
    pub fn address(&self) -> String {
        let given = self.addr.clone().filter(|address| !address.is_empty());
        let running = || DataDir::new(&self.data_dir).running().map(|running| running.admin);
        let address = given.or_else(running).unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
        if address.contains("://") { address } else { format!("http://{address}") }
    }

    fn secret(&self) -> anyhow::Result<Secret> {
        if let Some(token) = self.token.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Secret::new(token.trim()));
        }
        DataDir::new(&self.data_dir).secret("admin-token")?.ok_or_else(|| {
            anyhow!(
                "no admin token: set SWITCHYARD_ADMIN_TOKEN, or run where `switchyard dev` keeps {}/admin-token",
                self.data_dir.display()
            )
        })
    }

    fn tls(&self) -> anyhow::Result<ClientTlsConfig> {
        let Some(path) = &self.ca else {
            return Err(anyhow!(
                "an https:// address needs --ca FILE, the authority that signed its certificate"
            ));
        };
        let pem = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
    }
}

impl Admin {
    /// Connects, at once.
    ///
    /// # Errors
    /// When nobody answers, or the token cannot be a header.
    pub async fn connect(endpoint: Endpoint, token: &Secret) -> anyhow::Result<Self> {
        let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| anyhow!("the admin token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self { channel: endpoint.connect().await?, bearer: Bearer(value) })
    }
}

/// An address with our deadlines.
///
/// # Errors
/// For what is no address.
pub fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(address.to_owned());
    let endpoint =
        endpoint.with_context(|| format!("`{address}` is not an address such as {DEFAULT_ADDRESS}"))?;
    Ok(endpoint.connect_timeout(CONNECT).timeout(CALL).tcp_nodelay(true))
}

/// Turns an answer into its message, or an error that says what to do.
pub trait Answer<T> {
    /// The message of a call that worked.
    ///
    /// # Errors
    /// What went wrong, with the field at fault.
    fn answer(self) -> anyhow::Result<T>;
}

impl<T> Answer<T> for Result<tonic::Response<T>, Status> {
    fn answer(self) -> anyhow::Result<T> {
        self.map(tonic::Response::into_inner).map_err(|status| anyhow!(told(&status)))
    }
}

/// What a status means for the person at the terminal.
pub fn told(status: &Status) -> String {
    let text = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
    let code = text("switchyard-error-type").and_then(ErrorCode::from_error_type);
    let field = text("switchyard-field").filter(|field| !status.message().contains(*field));
    let field = field.map(|field| format!(" (field `{field}`)")).unwrap_or_default();
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    let advice = match (code, status.code()) {
        (Some(ErrorCode::Conflict), _) => ": read it again and repeat the change",
        (_, Code::Unauthenticated) => ": check SWITCHYARD_ADMIN_TOKEN",
        (None, Code::Unavailable) => ": is the control plane running?",
        _ => "",
    };
    format!("{said}{field}{advice}")
}

/// Collects pages until there are `most` rows or no more.
///
/// # Errors
/// That of the first page that fails.
pub async fn pages<T, F>(most: usize, mut page: impl FnMut(u32, String) -> F) -> anyhow::Result<Vec<T>>
where
    F: Future<Output = anyhow::Result<(Vec<T>, String)>>,
{
    let mut rows = Vec::new();
    let mut token = String::new();
    loop {
        let wanted = u32::try_from(most - rows.len()).unwrap_or(PAGE).min(PAGE);
        let (more, next) = page(wanted, token).await?;
        rows.extend(more);
        if next.is_empty() || rows.len() >= most {
            rows.truncate(most);
            return Ok(rows);
        }
        token = next;
    }
}

fn unreachable(address: &str) -> String {
    format!(
        "cannot reach the control plane at {address}: is it running, or is SWITCHYARD_ADMIN_ADDR another?"
    )
}

#[cfg(test)]
mod tests {
    use tonic::metadata::MetadataMap;

    use super::*;

    #[test]
    fn a_refusal_names_its_field_and_what_to_do() {
        let mut metadata = MetadataMap::new();
        metadata.insert("switchyard-error-type", "conflict".parse().unwrap());
        metadata.insert("switchyard-field", "revision".parse().unwrap());
        let status = Status::with_metadata(Code::Aborted, "`acme` has changed", metadata);
        assert_eq!(
            told(&status),
            "`acme` has changed (field `revision`): read it again and repeat the change"
        );
        let status = Status::unauthenticated("no such token");
        assert_eq!(told(&status), "no such token: check SWITCHYARD_ADMIN_TOKEN");
    }

    #[tokio::test]
    async fn pages_end_at_the_limit_or_the_last() {
        let all: Vec<u32> = (0..2_500).collect();
        let page = |size: u32, token: String| {
            let start: usize = token.parse().unwrap_or(0);
            let end = (start + size as usize).min(all.len());
            let next = if end < all.len() { end.to_string() } else { String::new() };
            let rows = all[start..end].to_vec();
            async move { Ok((rows, next)) }
        };
        for (most, got) in [(10, 10), (1_000, 1_000), (1_001, 1_001), (9_999, 2_500)] {
            assert_eq!(pages(most, page).await.unwrap().len(), got, "{most}");
        }
    }
}
