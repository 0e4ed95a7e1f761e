//! The two connections to the control plane: one for config, one for money and forwarded calls.
//!
//! Dialled lazily and again after every loss. What is said on them is their users' business: `config::watch` reports
//! the session here, `limits`, `usage` and `account` call through it.

mod gate;

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::propagation::Injector;
use switchyard_proto::{
    code::NOTHING_DONE,
    id::InstanceId,
    v1::{
        self, account_service_client::AccountServiceClient, config_service_client::ConfigServiceClient,
        ingest_service_client::IngestServiceClient, lease_service_client::LeaseServiceClient,
    },
};
use tokio::sync::watch;
use tonic::{
    Code, ConnectError, Request, Response, Status,
    metadata::{MetadataKey, MetadataMap, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use self::gate::Gate;
use crate::{background::Background, settings, telemetry::metrics as names};

/// A peer that is gone without a word is noticed after interval and timeout.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const LEASE_DEADLINE: Duration = Duration::from_secs(2);
const REPORT_DEADLINE: Duration = Duration::from_secs(10);

/// A channel that hands the current trace on.
pub type Traced = InterceptedService<Channel, TraceContext>;

/// The control plane, as this process reaches it.
#[derive(Debug)]
pub struct Link {
    config: Channel,
    money: Channel,
    gate: Gate,
    session: watch::Sender<Option<Session>>,
    attached: AtomicBool,
}

/// What the control plane's `welcome` gave this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub instance: InstanceId,
    pub epoch: u64,
    pub incarnation: String,
    /// What sessions up to this one were lent is ours no more: an operator released it. 0: none.
    pub released_epoch: u64,
}

/// Why the control plane cannot be dialled at all: wrong settings.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("setting `control_plane`: `{address}` is not an http or https address")]
    Address { address: String },
    #[error("setting `fleet_tls.{field}`: cannot read {}", path.display())]
    Pem {
        field: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("setting `fleet_tls.{field}` is needed {reason}")]
    Missing { field: &'static str, reason: &'static str },
    #[error("setting `fleet_tls`: the certificates cannot be used")]
    Tls(#[source] transport::Error),
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent, or nothing was done.
    #[error("the control plane is out of reach")]
    Away,
    /// Something was sent; whether it was done is not known.
    #[error("the control plane did not answer: {}", .0.code())]
    Lost(#[source] Status),
    /// It was not done.
    #[error("the control plane refused: {}", .0.code())]
    Refused(#[source] Status),
}

impl Link {
    /// Prepares both connections; dialling starts with the first call.
    ///
    /// # Errors
    /// When address or certificates cannot be used.
    pub fn new(
        control_plane: &str,
        tls: &settings::FleetTls,
        background: &Background,
    ) -> Result<Arc<Self>, LinkError> {
        let endpoint = endpoint(control_plane, tls)?;
        // The channels' own tasks live on the runtime that is entered here.
        let _entered = background.handle().enter();
        metrics::gauge!(names::LINK_ATTACHED).set(0);
        Ok(Arc::new(Self {
            config: endpoint.connect_lazy(),
            money: endpoint.connect_lazy(),
            gate: Gate::default(),
            session: watch::Sender::new(None),
            attached: AtomicBool::new(false),
        }))
    }

    /// For the config stream.
    pub fn config_client(&self) -> ConfigServiceClient<Traced> {
        ConfigServiceClient::with_interceptor(self.config.clone(), TraceContext)
    }

    /// The control plane accepted a session.
    pub fn attach(&self, session: Session) {
        self.gate.passed();
        self.attached.store(true, Ordering::Relaxed);
        metrics::gauge!(names::LINK_ATTACHED).set(1);
        self.session.send_replace(Some(session));
    }

    /// The config stream broke. The session stays known: its epoch is good until a newer one is accepted.
    pub fn detach(&self) {
        self.attached.store(false, Ordering::Relaxed);
        metrics::gauge!(names::LINK_ATTACHED).set(0);
    }

    /// Whether the config stream stands.
    pub fn is_attached(&self) -> bool {
        self.attached.load(Ordering::Relaxed)
    }

    /// Whether a call is likely to be answered now.
    pub fn is_reachable(&self) -> bool {
        self.is_attached() && self.gate.is_open(Instant::now())
    }

    /// The last session that was accepted; `None` only before the first.
    pub fn session(&self) -> watch::Receiver<Option<Session>> {
        self.session.subscribe()
    }

    /// Asks for money.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn acquire(&self, request: v1::AcquireRequest) -> Result<v1::AcquireResponse, CallError> {
        let mut client = LeaseServiceClient::with_interceptor(self.money.clone(), TraceContext);
        self.gated(client.acquire(within(request, LEASE_DEADLINE))).await
    }

    /// Gives money back. After [`CallError::Lost`] it must be taken as gone.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn give_back(&self, request: v1::ReturnRequest) -> Result<(), CallError> {
        let mut client = LeaseServiceClient::with_interceptor(self.money.clone(), TraceContext);
        self.gated(client.r#return(within(request, LEASE_DEADLINE))).await.map(|_| ())
    }

    /// Hands records over. May be repeated.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn report(&self, request: v1::ReportRequest) -> Result<v1::ReportResponse, CallError> {
        let mut client = IngestServiceClient::with_interceptor(self.money.clone(), TraceContext);
        self.gated(client.report(within(request, REPORT_DEADLINE))).await
    }

    /// Hands over what was new in providers' answers.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn report_drift(
        &self,
        request: v1::ReportDriftRequest,
    ) -> Result<v1::ReportDriftResponse, CallError> {
        let mut client = IngestServiceClient::with_interceptor(self.money.clone(), TraceContext);
        self.gated(client.report_drift(within(request, REPORT_DEADLINE))).await
    }

    /// Hands over how endpoints do.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn report_health(
        &self,
        request: v1::ReportHealthRequest,
    ) -> Result<v1::ReportHealthResponse, CallError> {
        let mut client = IngestServiceClient::with_interceptor(self.money.clone(), TraceContext);
        self.gated(client.report_health(within(request, REPORT_DEADLINE))).await
    }

    /// Forwards a tenant's own call.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn forward(
        &self,
        request: v1::ForwardRequest,
        deadline: Duration,
    ) -> Result<v1::ForwardResponse, CallError> {
        let mut client = AccountServiceClient::with_interceptor(self.money.clone(), TraceContext);
        self.gated(client.forward(within(request, deadline))).await
    }

    /// Makes the call unless a recent one found nobody; learns from how it ends.
    async fn gated<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallError> {
        if !self.gate.is_open(Instant::now()) {
            return Err(CallError::Away);
        }
        match call.await.map_err(CallError::from) {
            Ok(answer) => {
                self.gate.passed();
                Ok(answer.into_inner())
            }
            Err(error) => {
                match &error {
                    CallError::Away => self.gate.failed(Instant::now()),
                    // A slow answer is no reason to stop asking; a lost connection is.
                    CallError::Lost(status) if status.code() == Code::Unavailable => {
                        self.gate.failed(Instant::now());
                    }
                    CallError::Lost(_) => {}
                    CallError::Refused(_) => self.gate.passed(),
                }
                Err(error)
            }
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::Unavailable if never_connected(&status) || status.metadata().contains_key(NOTHING_DONE) => {
                Self::Away
            }
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::DataLoss
            | Code::Unavailable => Self::Lost(status),
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated => Self::Refused(status),
        }
    }
}

fn never_connected(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn within<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn endpoint(control_plane: &str, tls: &settings::FleetTls) -> Result<Endpoint, LinkError> {
    let address = || LinkError::Address { address: control_plane.to_owned() };
    let endpoint = Endpoint::from_shared(control_plane.to_owned()).map_err(|_| address())?;
    let endpoint = match endpoint.uri().scheme_str() {
        Some("http") => endpoint,
        Some("https") => endpoint.tls_config(certificates(tls)?).map_err(LinkError::Tls)?,
        _ => return Err(address()),
    };
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

fn certificates(tls: &settings::FleetTls) -> Result<ClientTlsConfig, LinkError> {
    let ca = pem("ca", tls.ca.as_ref(), "for an https control plane")?;
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    match (&tls.cert, &tls.key) {
        (None, None) => Ok(config),
        (cert, key) => {
            let cert = pem("cert", cert.as_ref(), "beside `fleet_tls.key`")?;
            let key = pem("key", key.as_ref(), "beside `fleet_tls.cert`")?;
            Ok(config.identity(Identity::from_pem(cert, key)))
        }
    }
}

fn pem(field: &'static str, path: Option<&PathBuf>, reason: &'static str) -> Result<Vec<u8>, LinkError> {
    let path = path.ok_or(LinkError::Missing { field, reason })?;
    fs::read(path).map_err(|source| LinkError::Pem { field, path: path.clone(), source })
}

/// Adds the current span's trace context to every call.
#[derive(Clone, Copy, Debug)]
pub struct TraceContext;

impl Interceptor for TraceContext {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let context = tracing::Span::current().context();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Metadata(request.metadata_mut()));
        });
        Ok(request)
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) =
            (MetadataKey::from_bytes(key.as_bytes()), MetadataValue::try_from(value))
        {
            self.0.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(control_plane: &str, tls: &settings::FleetTls) -> Result<Arc<Link>, LinkError> {
        Link::new(control_plane, tls, &Background::new(tokio::runtime::Handle::current()))
    }

    #[tokio::test]
    async fn wrong_settings_are_named() {
        let none = settings::FleetTls::default();
        let missing = settings::FleetTls { ca: Some("/nonexistent/ca.pem".into()), ..none.clone() };
        for (address, tls, says) in [
            ("ftp://localhost", &none, "`control_plane`"),
            ("not an address", &none, "`control_plane`"),
            ("https://localhost:1", &none, "`fleet_tls.ca` is needed"),
            ("https://localhost:1", &missing, "`fleet_tls.ca`: cannot read /nonexistent/ca.pem"),
        ] {
            let error = link(address, tls).unwrap_err().to_string();
            assert!(error.contains(says), "{address}: {error}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_known_to_have_sent_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let link = link(&address, &settings::FleetTls::default()).unwrap();
        for _ in 0..3 {
            let answer = link.give_back(v1::ReturnRequest::default()).await;
            assert!(matches!(answer, Err(CallError::Away)), "{answer:?}");
        }
    }

    #[test]
    fn a_call_that_changed_nothing_is_told_from_one_that_may_have() {
        let lost = || Status::unavailable("the database is out of reach");
        assert!(matches!(CallError::from(lost()), CallError::Lost(_)));
        let mut certain = lost();
        certain.metadata_mut().insert(NOTHING_DONE, tonic::metadata::MetadataValue::from_static("1"));
        assert!(matches!(CallError::from(certain), CallError::Away));
    }

    #[tokio::test]
    async fn a_session_outlives_the_stream_that_brought_it() {
        let link = link("http://127.0.0.1:1", &settings::FleetTls::default()).unwrap();
        let session = Session {
            instance: InstanceId::new("dp_1"),
            epoch: 4,
            incarnation: "a".into(),
            released_epoch: 0,
        };
        link.attach(session.clone());
        assert!(link.is_attached());
        link.detach();
        assert!(!link.is_attached());
        assert_eq!(*link.session().borrow(), Some(session));
    }
}
