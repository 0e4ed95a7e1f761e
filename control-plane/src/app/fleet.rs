//! The fleet port: config, leases, usage and forwarded calls, for data planes only.
//!
//! Outside loopback both sides show a certificate: provider credentials and money travel here.

use std::{fs, path::PathBuf, time::Duration};

use switchyard_proto::{
    code::ErrorCode,
    v1::{
        account_service_server::AccountServiceServer, config_service_server::ConfigServiceServer,
        ingest_service_server::IngestServiceServer, lease_service_server::LeaseServiceServer,
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Status,
    metadata::MetadataMap,
    service::Interceptor,
    transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::{
    account,
    app::{Parts, StartError, setting},
    distribution::{self, Feed},
    error, money,
    settings::Settings,
};

/// Silence after which a data plane is asked whether it is still there, and how long it may take to say so.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Largest batch of usage records.
const LARGEST_REPORT: usize = 32 * 1024 * 1024;

/// Reads the certificates; `None`: plain text, on loopback only.
pub(super) fn tls(settings: &Settings) -> Result<Option<ServerTlsConfig>, StartError> {
    let files = &settings.fleet_tls;
    if files.ca.is_none() && files.cert.is_none() && files.key.is_none() {
        return match settings.fleet_listen.ip().is_loopback() {
            true => Ok(None),
            false => Err(setting(
                "fleet_tls.cert",
                format!(
                    "is required, with `fleet_tls.key` and `fleet_tls.ca`: `fleet_listen` is {}, which is not loopback",
                    settings.fleet_listen
                ),
            )),
        };
    }
    let ca = read("fleet_tls.ca", files.ca.as_ref())?;
    let cert = read("fleet_tls.cert", files.cert.as_ref())?;
    let key = read("fleet_tls.key", files.key.as_ref())?;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(cert, key))
        .client_ca_root(Certificate::from_pem(ca));
    Ok(Some(tls))
}

fn read(name: &'static str, file: Option<&PathBuf>) -> Result<Vec<u8>, StartError> {
    let file = file.ok_or_else(|| setting(name, "is required beside the other two of `fleet_tls`"))?;
    fs::read(file).map_err(|error| setting(name, format!("cannot be read from {}: {error}", file.display())))
}

/// Makes the server, so that bad certificates are found before anything runs.
pub(super) fn server(tls: Option<ServerTlsConfig>) -> Result<Server, StartError> {
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE));
    match tls {
        None => Ok(server),
        Some(tls) => server.tls_config(tls).map_err(|error| {
            setting("fleet_tls.cert", format!("and its key cannot be used: {}", cause(&error)))
        }),
    }
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Serves until shutdown, then lets open calls finish; streams are ended by their sessions.
pub(super) async fn serve(listener: TcpListener, mut server: Server, parts: Parts) {
    let gate = Gate(parts.feed.clone());
    let config =
        distribution::service::Service::new(parts.feed.clone(), parts.tasks.clone(), parts.shutdown.clone());
    let money = money::service::Service::new(parts.pool.clone());
    let account = account::Service::new(parts.state.clone());
    let ingest = IngestServiceServer::new(money.clone()).max_decoding_message_size(LARGEST_REPORT);
    let served = server
        .add_service(tonic::service::interceptor::InterceptedService::new(
            ConfigServiceServer::new(config),
            gate.clone(),
        ))
        .add_service(tonic::service::interceptor::InterceptedService::new(
            LeaseServiceServer::new(money),
            gate.clone(),
        ))
        .add_service(tonic::service::interceptor::InterceptedService::new(ingest, gate))
        .add_service(AccountServiceServer::new(account))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            parts.shutdown.clone().cancelled_owned(),
        );
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::error!(error = cause(&error), "the fleet port is closed");
            }
        }
        () = super::drained(&parts.shutdown) => {}
    }
}

/// Answers at once while the database is known to be out of reach: data planes have their own patience.
#[derive(Clone)]
struct Gate(Feed);

impl Interceptor for Gate {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.0.is_store_reachable() { Ok(request) } else { Err(unreachable()) }
    }
}

fn unreachable() -> Status {
    let code = ErrorCode::StoreUnavailable;
    let mut metadata = MetadataMap::new();
    metadata.insert(error::ERROR_TYPE, code.error_type().parse().expect("error types are ASCII"));
    let text = "the control plane's database is out of reach; try again";
    money::service::nothing_done(Status::with_metadata(code.grpc(), text, metadata))
}
