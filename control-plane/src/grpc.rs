//! The admin API: gRPC services, one file per noun, with reflection and health.
//!
//! A method names the actor, turns proto into `domain`, calls one function of `service`, and turns the answer back.
//! REST is made of the same services by `rest`.

use switchyard_proto::{
    DESCRIPTORS, clock,
    v1::{
        apply_service_server::ApplyServiceServer, audit_service_server::AuditServiceServer,
        credential_service_server::CredentialServiceServer, drift_service_server::DriftServiceServer,
        endpoint_service_server::EndpointServiceServer, fleet_service_server::FleetServiceServer,
        key_service_server::KeyServiceServer, ledger_service_server::LedgerServiceServer,
        model_service_server::ModelServiceServer, policy_service_server::PolicyServiceServer,
        preset_service_server::PresetServiceServer, provider_service_server::ProviderServiceServer,
        tenant_service_server::TenantServiceServer, token_service_server::TokenServiceServer,
        usage_service_server::UsageServiceServer, webhook_service_server::WebhookServiceServer,
    },
};
use tonic::{Request, server::NamedService, service::Routes};
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};

use crate::{auth, domain::permission::Actor, error::ServiceError, service::State};

pub mod apply;
pub mod audit;
pub mod common;
pub mod credential;
pub mod drift;
pub mod endpoint;
pub mod fleet;
pub mod key;
pub mod ledger;
pub mod mask;
pub mod model;
pub mod policy;
pub mod preset;
pub mod provider;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod webhook;

/// One admin service: the noun's methods over the shared state.
#[derive(Clone)]
pub struct Admin(State);

/// All admin services, health and reflection.
pub async fn routes(state: State) -> Routes {
    let mut routes = Builder { routes: Routes::default(), health: HealthReporter::new(), names: Vec::new() };
    let admin = Admin(state);
    routes.add(TenantServiceServer::new(admin.clone())).await;
    routes.add(KeyServiceServer::new(admin.clone())).await;
    routes.add(CredentialServiceServer::new(admin.clone())).await;
    routes.add(ProviderServiceServer::new(admin.clone())).await;
    routes.add(ModelServiceServer::new(admin.clone())).await;
    routes.add(EndpointServiceServer::new(admin.clone())).await;
    routes.add(PolicyServiceServer::new(admin.clone())).await;
    routes.add(PresetServiceServer::new(admin.clone())).await;
    routes.add(TokenServiceServer::new(admin.clone())).await;
    routes.add(UsageServiceServer::new(admin.clone())).await;
    routes.add(WebhookServiceServer::new(admin.clone())).await;
    routes.add(FleetServiceServer::new(admin.clone())).await;
    routes.add(LedgerServiceServer::new(admin.clone())).await;
    routes.add(DriftServiceServer::new(admin.clone())).await;
    routes.add(AuditServiceServer::new(admin.clone())).await;
    let apply = ApplyServiceServer::new(admin).max_decoding_message_size(apply::LARGEST_MANIFEST);
    routes.add(apply).await;
    routes.finish()
}

struct Builder {
    routes: Routes,
    health: HealthReporter,
    names: Vec<&'static str>,
}

impl Builder {
    async fn add<S>(&mut self, service: S)
    where
        S: NamedService + tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME);
        self.health.set_service_status(S::NAME, ServingStatus::Serving).await;
        self.routes = std::mem::take(&mut self.routes).add_service(service);
    }

    /// Adds health, and reflection of what this port serves: the fleet's services are not among it.
    fn finish(self) -> Routes {
        let health = HealthServer::new(HealthService::from_health_reporter(self.health));
        let reflection = || {
            let files = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name("grpc.health.v1.Health");
            self.names.iter().fold(files, |files, name| files.with_service_name(*name))
        };
        let why = "the descriptors were compiled with the services";
        self.routes
            .add_service(health)
            .add_service(reflection().build_v1().expect(why))
            .add_service(reflection().build_v1alpha().expect(why))
    }
}

/// Names the actor of a call and hands out its message.
async fn enter<T>(admin: &Admin, request: Request<T>) -> Result<(Actor, T), ServiceError> {
    let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let actor = auth::token::authenticate(&admin.0.pool, authorization, clock::now()).await?;
    Ok((actor, request.into_inner()))
}

/// A message that a request cannot do without.
fn given<T>(field: &str, message: Option<T>) -> Result<T, ServiceError> {
    message.ok_or_else(|| ServiceError::invalid(field, "is required"))
}
