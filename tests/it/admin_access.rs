//! Every admin RPC, without a token, with a wrong one, with each role, and from another tenant.
//!
//! A new RPC needs a row in [`OPERATIONS`]; [`every_rpc_has_a_row`] says which is missing.

use prost::Message;
use switchyard_proto::{
    DESCRIPTORS,
    id::GenerationId,
    key::{self, TOKEN_PREFIX},
    v1,
};
use switchyard_tests::admin::AdminPort;
use tonic::Code;

/// One RPC, a request for it, and whom it lets in.
pub struct Operation {
    pub rpc: &'static str,
    request: fn(&Rows) -> Vec<u8>,
    access: Access,
}

/// Whom an RPC lets in; the request is about a row of tenant `acme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Operators alone.
    Operator,
    /// Operators alone, about one tenant, which does not exist for others.
    OperatorOnTenant,
    /// Operators, and viewers of all tenants.
    Fleet,
    /// Everybody, about everybody's.
    Shared,
    /// Whoever may see the tenant; it does not exist for others.
    TenantRead,
    /// The tenant's admins and operators.
    TenantWrite,
    /// Everybody, but what they get is cut to what they may see.
    Narrowed,
    /// The same without viewers.
    NarrowedAdmin,
}

/// What is there before the calls: a tenant with a key and a credential, a catalogue, a token, a generation.
struct Rows {
    key: String,
    token: String,
    generation: String,
}

const fn operation(rpc: &'static str, access: Access, request: fn(&Rows) -> Vec<u8>) -> Operation {
    Operation { rpc, request, access }
}

/// Requests name existing rows of `acme`, so that a refusal is a refusal and no miss.
pub const OPERATIONS: &[Operation] = &[
    operation("TenantService/ListTenants", Access::Narrowed, |_| {
        v1::ListTenantsRequest::default().encode_to_vec()
    }),
    operation("TenantService/GetTenant", Access::TenantRead, |_| {
        v1::GetTenantRequest { id: acme() }.encode_to_vec()
    }),
    operation("TenantService/CreateTenant", Access::OperatorOnTenant, |_| {
        v1::CreateTenantRequest {
            tenant: Some(v1::Tenant { id: acme(), ..Default::default() }),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("TenantService/UpdateTenant", Access::OperatorOnTenant, |_| {
        v1::UpdateTenantRequest { id: acme(), tenant: Some(v1::Tenant::default()), ..Default::default() }
            .encode_to_vec()
    }),
    operation("TenantService/DeleteTenant", Access::OperatorOnTenant, |_| {
        v1::DeleteTenantRequest { id: acme(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("TenantService/AdjustCredits", Access::OperatorOnTenant, |_| {
        v1::AdjustCreditsRequest { id: acme(), usd: "1".to_owned(), ..Default::default() }.encode_to_vec()
    }),
    operation("KeyService/ListKeys", Access::TenantRead, |_| {
        v1::ListKeysRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("KeyService/GetKey", Access::TenantRead, |rows| {
        v1::GetKeyRequest { tenant: acme(), id: rows.key.clone() }.encode_to_vec()
    }),
    operation("KeyService/CreateKey", Access::TenantWrite, |_| {
        v1::CreateKeyRequest { tenant: acme(), key: Some(v1::Key::default()), ..Default::default() }
            .encode_to_vec()
    }),
    operation("KeyService/UpdateKey", Access::TenantWrite, |rows| {
        v1::UpdateKeyRequest {
            tenant: acme(),
            id: rows.key.clone(),
            key: Some(v1::Key::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("KeyService/DeleteKey", Access::TenantWrite, |rows| {
        v1::DeleteKeyRequest { tenant: acme(), id: rows.key.clone(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("CredentialService/ListCredentials", Access::TenantRead, |_| {
        v1::ListCredentialsRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("CredentialService/GetCredential", Access::TenantRead, |_| {
        v1::GetCredentialRequest { tenant: acme(), id: "mine".to_owned() }.encode_to_vec()
    }),
    operation("CredentialService/CreateCredential", Access::TenantWrite, |_| {
        v1::CreateCredentialRequest { tenant: acme(), credential: Some(v1::Credential::default()) }
            .encode_to_vec()
    }),
    operation("CredentialService/UpdateCredential", Access::TenantWrite, |_| {
        v1::UpdateCredentialRequest {
            tenant: acme(),
            id: "mine".to_owned(),
            credential: Some(v1::Credential::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("CredentialService/DeleteCredential", Access::TenantWrite, |_| {
        v1::DeleteCredentialRequest { tenant: acme(), id: "mine".to_owned(), revision: u64::MAX }
            .encode_to_vec()
    }),
    operation("ProviderService/ListProviders", Access::Shared, |_| {
        v1::ListProvidersRequest::default().encode_to_vec()
    }),
    operation("ProviderService/GetProvider", Access::Shared, |_| {
        v1::GetProviderRequest { id: "p".to_owned() }.encode_to_vec()
    }),
    operation("ProviderService/CreateProvider", Access::Operator, |_| {
        v1::CreateProviderRequest { provider: Some(v1::Provider::default()) }.encode_to_vec()
    }),
    operation("ProviderService/UpdateProvider", Access::Operator, |_| {
        v1::UpdateProviderRequest {
            id: "p".to_owned(),
            provider: Some(v1::Provider::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("ProviderService/DeleteProvider", Access::Operator, |_| {
        v1::DeleteProviderRequest { id: "p".to_owned(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("ModelService/ListModels", Access::Shared, |_| {
        v1::ListModelsRequest::default().encode_to_vec()
    }),
    operation("ModelService/GetModel", Access::Shared, |_| {
        v1::GetModelRequest { id: model() }.encode_to_vec()
    }),
    operation("ModelService/CreateModel", Access::Operator, |_| {
        v1::CreateModelRequest { model: Some(v1::Model::default()) }.encode_to_vec()
    }),
    operation("ModelService/UpdateModel", Access::Operator, |_| {
        v1::UpdateModelRequest { id: model(), model: Some(v1::Model::default()), ..Default::default() }
            .encode_to_vec()
    }),
    operation("ModelService/DeleteModel", Access::Operator, |_| {
        v1::DeleteModelRequest { id: model(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("EndpointService/ListEndpoints", Access::Shared, |_| {
        v1::ListEndpointsRequest { model: model(), ..Default::default() }.encode_to_vec()
    }),
    operation("EndpointService/GetEndpoint", Access::Shared, |_| {
        v1::GetEndpointRequest { model: model(), id: "p".to_owned() }.encode_to_vec()
    }),
    operation("EndpointService/CreateEndpoint", Access::Operator, |_| {
        v1::CreateEndpointRequest { model: model(), endpoint: Some(v1::Endpoint::default()) }.encode_to_vec()
    }),
    operation("EndpointService/UpdateEndpoint", Access::Operator, |_| {
        v1::UpdateEndpointRequest {
            model: model(),
            id: "p".to_owned(),
            endpoint: Some(v1::Endpoint::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("EndpointService/DeleteEndpoint", Access::Operator, |_| {
        v1::DeleteEndpointRequest { model: model(), id: "p".to_owned(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("TokenService/ListTokens", Access::Operator, |_| {
        v1::ListTokensRequest::default().encode_to_vec()
    }),
    operation("TokenService/GetToken", Access::Operator, |rows| {
        v1::GetTokenRequest { id: rows.token.clone() }.encode_to_vec()
    }),
    operation("TokenService/CreateToken", Access::Operator, |_| {
        let token = v1::Token { role: v1::Role::Operator.into(), ..Default::default() };
        v1::CreateTokenRequest { token: Some(token) }.encode_to_vec()
    }),
    operation("TokenService/UpdateToken", Access::Operator, |rows| {
        v1::UpdateTokenRequest {
            id: rows.token.clone(),
            token: Some(v1::Token::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("TokenService/DeleteToken", Access::Operator, |rows| {
        v1::DeleteTokenRequest { id: rows.token.clone(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("PresetService/ListPresets", Access::TenantRead, |_| {
        v1::ListPresetsRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("PresetService/GetPreset", Access::TenantRead, |_| {
        v1::GetPresetRequest { tenant: acme(), id: "s".to_owned() }.encode_to_vec()
    }),
    operation("PresetService/ListPresetVersions", Access::TenantRead, |_| {
        v1::ListPresetVersionsRequest { tenant: acme(), id: "s".to_owned(), ..Default::default() }
            .encode_to_vec()
    }),
    operation("PresetService/GetPresetVersion", Access::TenantRead, |_| {
        v1::GetPresetVersionRequest { tenant: acme(), id: "s".to_owned(), version: 1 }.encode_to_vec()
    }),
    operation("PresetService/CreatePreset", Access::TenantWrite, |_| {
        v1::CreatePresetRequest { tenant: acme(), preset: Some(v1::Preset::default()) }.encode_to_vec()
    }),
    operation("PresetService/UpdatePreset", Access::TenantWrite, |_| {
        v1::UpdatePresetRequest {
            tenant: acme(),
            id: "s".to_owned(),
            preset: Some(v1::Preset::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("PresetService/DeletePreset", Access::TenantWrite, |_| {
        v1::DeletePresetRequest { tenant: acme(), id: "s".to_owned(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("PolicyService/ListPolicies", Access::TenantRead, |_| {
        v1::ListPoliciesRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("PolicyService/GetPolicy", Access::TenantRead, |_| {
        v1::GetPolicyRequest { tenant: acme(), id: "p".to_owned() }.encode_to_vec()
    }),
    operation("PolicyService/CreatePolicy", Access::TenantWrite, |_| {
        v1::CreatePolicyRequest { tenant: acme(), policy: Some(v1::Policy::default()) }.encode_to_vec()
    }),
    operation("PolicyService/UpdatePolicy", Access::TenantWrite, |_| {
        v1::UpdatePolicyRequest {
            tenant: acme(),
            id: "p".to_owned(),
            policy: Some(v1::Policy::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("PolicyService/DeletePolicy", Access::TenantWrite, |_| {
        v1::DeletePolicyRequest { tenant: acme(), id: "p".to_owned(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("UsageService/ListGenerations", Access::Narrowed, |_| {
        v1::ListGenerationsRequest::default().encode_to_vec()
    }),
    operation("UsageService/GetGeneration", Access::TenantRead, |rows| {
        v1::GetGenerationRequest { id: rows.generation.clone() }.encode_to_vec()
    }),
    operation("UsageService/ListLines", Access::Narrowed, |_| {
        v1::ListLinesRequest::default().encode_to_vec()
    }),
    operation("UsageService/ListAccounts", Access::Narrowed, |_| {
        v1::ListAccountsRequest::default().encode_to_vec()
    }),
    operation("UsageService/ReportUsage", Access::Narrowed, |_| {
        v1::ReportUsageRequest::default().encode_to_vec()
    }),
    operation("UsageService/GetStatement", Access::TenantRead, |_| {
        v1::GetStatementRequest { tenant: acme(), month: "2026-11".to_owned() }.encode_to_vec()
    }),
    operation("WebhookService/ListWebhooks", Access::TenantRead, |_| {
        v1::ListWebhooksRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("WebhookService/GetWebhook", Access::TenantRead, |_| {
        v1::GetWebhookRequest { tenant: acme(), id: "w".to_owned() }.encode_to_vec()
    }),
    operation("WebhookService/CreateWebhook", Access::TenantWrite, |_| {
        v1::CreateWebhookRequest { tenant: acme(), webhook: Some(v1::Webhook::default()) }.encode_to_vec()
    }),
    operation("WebhookService/UpdateWebhook", Access::TenantWrite, |_| update_webhook(acme())),
    operation("WebhookService/DeleteWebhook", Access::TenantWrite, |_| {
        v1::DeleteWebhookRequest { tenant: acme(), id: "w".to_owned(), revision: u64::MAX }.encode_to_vec()
    }),
    operation("WebhookService/TestWebhook", Access::TenantWrite, |_| {
        v1::TestWebhookRequest { tenant: acme(), id: "w".to_owned() }.encode_to_vec()
    }),
    operation("WebhookService/ListDeliveries", Access::TenantRead, |_| {
        v1::ListDeliveriesRequest { tenant: acme(), id: "w".to_owned(), ..Default::default() }.encode_to_vec()
    }),
    operation("FleetService/ListInstances", Access::Fleet, |_| {
        v1::ListInstancesRequest::default().encode_to_vec()
    }),
    operation("FleetService/GetRevision", Access::Fleet, |_| v1::GetRevisionRequest {}.encode_to_vec()),
    operation("FleetService/ReleaseInstance", Access::Operator, |_| {
        v1::ReleaseInstanceRequest { id: "dp".to_owned(), reason: String::new() }.encode_to_vec()
    }),
    operation("LedgerService/Prove", Access::Fleet, |_| v1::ProveRequest {}.encode_to_vec()),
    operation("FleetService/ListHealth", Access::Fleet, |_| v1::ListHealthRequest::default().encode_to_vec()),
    operation("DriftService/ListDrift", Access::Fleet, |_| v1::ListDriftRequest::default().encode_to_vec()),
    operation("DriftService/ClearDrift", Access::Operator, |_| {
        v1::ClearDriftRequest::default().encode_to_vec()
    }),
    operation("AuditService/ListEntries", Access::NarrowedAdmin, |_| {
        v1::ListEntriesRequest::default().encode_to_vec()
    }),
    operation("ApplyService/Apply", Access::Operator, |_| {
        v1::ApplyRequest { dry_run: true, ..Default::default() }.encode_to_vec()
    }),
    operation("ApplyService/Export", Access::Operator, |_| v1::ExportRequest {}.encode_to_vec()),
];

/// The same lists with the tenant named: for those who may not see it, it does not exist.
const NAMED: &[Operation] = &[
    operation("UsageService/ListGenerations", Access::TenantRead, |_| {
        v1::ListGenerationsRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("UsageService/ListLines", Access::TenantRead, |_| {
        v1::ListLinesRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("UsageService/ListAccounts", Access::TenantRead, |_| {
        v1::ListAccountsRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
    operation("UsageService/ReportUsage", Access::TenantRead, |_| {
        v1::ReportUsageRequest { tenant: acme(), ..Default::default() }.encode_to_vec()
    }),
];

/// Webhooks without a tenant are the operator's, and policies too: and may name tenants in their conditions.
const OPERATORS: &[Operation] = &[
    operation("PolicyService/ListPolicies", Access::Fleet, |_| {
        v1::ListPoliciesRequest::default().encode_to_vec()
    }),
    operation("PolicyService/GetPolicy", Access::Fleet, |_| {
        v1::GetPolicyRequest { id: "p".to_owned(), ..Default::default() }.encode_to_vec()
    }),
    operation("PolicyService/CreatePolicy", Access::Operator, |_| {
        v1::CreatePolicyRequest { policy: Some(v1::Policy::default()), ..Default::default() }.encode_to_vec()
    }),
    operation("PolicyService/UpdatePolicy", Access::Operator, |_| {
        v1::UpdatePolicyRequest {
            id: "p".to_owned(),
            policy: Some(v1::Policy::default()),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    operation("PolicyService/DeletePolicy", Access::Operator, |_| {
        v1::DeletePolicyRequest { id: "p".to_owned(), revision: u64::MAX, ..Default::default() }
            .encode_to_vec()
    }),
    operation("WebhookService/ListWebhooks", Access::Fleet, |_| {
        v1::ListWebhooksRequest::default().encode_to_vec()
    }),
    operation("WebhookService/GetWebhook", Access::Fleet, |_| {
        v1::GetWebhookRequest { id: "w".to_owned(), ..Default::default() }.encode_to_vec()
    }),
    operation("WebhookService/CreateWebhook", Access::Operator, |_| {
        v1::CreateWebhookRequest { webhook: Some(v1::Webhook::default()), ..Default::default() }
            .encode_to_vec()
    }),
    operation("WebhookService/UpdateWebhook", Access::Operator, |_| update_webhook(String::new())),
    operation("WebhookService/DeleteWebhook", Access::Operator, |_| {
        v1::DeleteWebhookRequest { id: "w".to_owned(), revision: u64::MAX, ..Default::default() }
            .encode_to_vec()
    }),
    operation("WebhookService/TestWebhook", Access::Operator, |_| {
        v1::TestWebhookRequest { id: "w".to_owned(), ..Default::default() }.encode_to_vec()
    }),
    operation("WebhookService/ListDeliveries", Access::Fleet, |_| {
        v1::ListDeliveriesRequest { id: "w".to_owned(), ..Default::default() }.encode_to_vec()
    }),
];

/// Services of the fleet port, which know certificates instead of tokens.
pub const FLEET_PORT: &[&str] = &["AccountService", "ConfigService", "IngestService", "LeaseService"];

fn update_webhook(tenant: String) -> Vec<u8> {
    let webhook = Some(v1::Webhook::default());
    v1::UpdateWebhookRequest { tenant, id: "w".to_owned(), webhook, ..Default::default() }.encode_to_vec()
}

fn acme() -> String {
    "acme".to_owned()
}

fn model() -> String {
    "a/m".to_owned()
}

/// Who calls. The rival belongs to another tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Operator,
    Viewer,
    TenantAdmin,
    TenantViewer,
    RivalAdmin,
    RivalViewer,
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Past the rights: whatever else may be wrong with the request.
    In,
    Forbidden,
    Hidden,
}

fn expected(access: Access, who: Who) -> Outcome {
    use Outcome::{Forbidden, Hidden, In};
    use Who::{Operator, RivalAdmin, RivalViewer, TenantAdmin, TenantViewer, Viewer};
    match (access, who) {
        (_, Operator) | (Access::Shared | Access::Narrowed, _) => In,
        (Access::Fleet, Viewer) => In,
        (Access::Operator | Access::Fleet, _) => Forbidden,
        (Access::OperatorOnTenant | Access::TenantRead | Access::TenantWrite, RivalAdmin | RivalViewer) => {
            Hidden
        }
        (Access::OperatorOnTenant, Viewer | TenantAdmin | TenantViewer) => Forbidden,
        (Access::TenantRead, Viewer | TenantAdmin | TenantViewer) => In,
        (Access::TenantWrite, TenantAdmin) => In,
        (Access::TenantWrite, Viewer | TenantViewer) => Forbidden,
        (Access::NarrowedAdmin, TenantAdmin | RivalAdmin) => In,
        (Access::NarrowedAdmin, Viewer | TenantViewer | RivalViewer) => Forbidden,
    }
}

/// A port with rows of tenant `acme`, and another tenant.
async fn port() -> (AdminPort, Rows) {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port.tenant("rival").await.unwrap();
    let key = port.key("acme", "ci").await.unwrap().key.unwrap().id;
    port.provider("p", "sk-upstream").await.unwrap();
    port.credential("acme", "mine", "p").await.unwrap();
    port.model("a/m").await.unwrap();
    port.endpoint("a/m", "p").await.unwrap();
    port.policy("acme", "p").await.unwrap();
    port.policy("", "p").await.unwrap();
    port.preset("acme", "s").await.unwrap();
    port.webhook("acme", "w").await.unwrap();
    port.webhook("", "w").await.unwrap();
    let token = port.token(v1::Role::TenantAdmin, "acme").await.unwrap().token.unwrap().id;
    let generation = generation(&port, "acme").await;
    (port, Rows { key, token, generation })
}

/// Books a generation by hand.
async fn generation(port: &AdminPort, tenant: &str) -> String {
    let id = GenerationId::generate();
    sqlx::query(
        "INSERT INTO generations (id, instance, region, tenant, key, requested_model, model, provider, upstream_id,
             surface, streamed, cancelled, status, error_type, finish_reason, native_finish_reason, prompt_tokens,
             cached_tokens, cache_write_tokens, cache_write_1h_tokens, completion_tokens, reasoning_tokens,
             audio_prompt_tokens, images, cost_nano, charge_nano, attempts, admitted_at, first_content_ms,
             duration_ms, config_incarnation, config_revision, user_id, session_id, app_title, app_url, user_agent,
             trace_id, decision)
         VALUES ($1, 'dp', '', $2, 'key_1', 'a/m', 'a/m', 'p', 'm', 'chat_completions', false, false, 200, '', 'stop',
             'stop', 1, 0, 0, 0, 1, 0, 0, 0, 5, 5, 1, now(), 1, 2, '', 1, '', '', '', '', '', '', '')",
    )
    .bind(id.as_uuid())
    .bind(tenant)
    .execute(&port.pool)
    .await
    .unwrap();
    id.to_string()
}

#[tokio::test]
async fn rights_come_before_what_is_wrong_with_a_request() {
    let (port, _) = port().await;
    let viewer = port.token(v1::Role::Viewer, "").await.unwrap().secret;
    for operation in
        OPERATIONS.iter().filter(|operation| expected(operation.access, Who::Viewer) != Outcome::In)
    {
        let refused = port.call_raw(Some(&viewer), operation.rpc, Vec::new()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{}", operation.rpc);
    }
}

async fn outcome(port: &AdminPort, rows: &Rows, token: &str, operation: &Operation) -> Outcome {
    match port.call_raw(Some(token), operation.rpc, (operation.request)(rows)).await {
        Ok(_) => Outcome::In,
        Err(status) => match status.code() {
            Code::PermissionDenied => Outcome::Forbidden,
            Code::NotFound => Outcome::Hidden,
            Code::InvalidArgument | Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => {
                Outcome::In
            }
            _ => panic!("{}: {status:?}", operation.rpc),
        },
    }
}

#[test]
fn every_rpc_has_a_row() {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let services =
        set.file.iter().filter(|file| file.package() == "switchyard.v1").flat_map(|file| &file.service);
    for service in services.filter(|service| !FLEET_PORT.contains(&service.name())) {
        for method in &service.method {
            let rpc = format!("{}/{}", service.name(), method.name());
            let rows = OPERATIONS.iter().filter(|operation| operation.rpc == rpc).count();
            assert_eq!(rows, 1, "{rpc} needs a row in OPERATIONS: what it may be asked, and by whom");
        }
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    let (port, rows) = port().await;
    let disabled = port.token(v1::Role::Operator, "").await.unwrap();
    let expired = port.token(v1::Role::Operator, "").await.unwrap();
    let deleted = port.token(v1::Role::Operator, "").await.unwrap();
    for (statement, token) in [
        ("UPDATE admin_tokens SET disabled = true WHERE id = $1", &disabled),
        ("UPDATE admin_tokens SET expires_at = now() WHERE id = $1", &expired),
        ("UPDATE admin_tokens SET deleted_at = now() WHERE id = $1", &deleted),
    ] {
        sqlx::query(statement).bind(&token.token.as_ref().unwrap().id).execute(&port.pool).await.unwrap();
    }
    let unknown = key::generate(TOKEN_PREFIX);
    let client_key = port.key("acme", "another").await.unwrap().secret;
    let tokens = [
        None,
        Some("garbage"),
        Some(unknown.expose()),
        Some(client_key.as_str()),
        Some(disabled.secret.as_str()),
        Some(expired.secret.as_str()),
        Some(deleted.secret.as_str()),
    ];
    for operation in OPERATIONS {
        for (index, token) in tokens.iter().enumerate() {
            let refused = port.call_raw(*token, operation.rpc, (operation.request)(&rows)).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{} with token {index}", operation.rpc);
            assert_eq!(refused.metadata().get("switchyard-error-type").unwrap(), "authentication");
        }
    }
}

#[tokio::test]
async fn roles_get_in_where_they_may_and_other_tenants_see_nothing() {
    let (port, rows) = port().await;
    let token = async |role, tenant: &str| port.token(role, tenant).await.unwrap().secret;
    let callers = [
        (Who::Operator, port.operator.clone()),
        (Who::Viewer, token(v1::Role::Viewer, "").await),
        (Who::TenantAdmin, token(v1::Role::TenantAdmin, "acme").await),
        (Who::TenantViewer, token(v1::Role::Viewer, "acme").await),
        (Who::RivalAdmin, token(v1::Role::TenantAdmin, "rival").await),
        (Who::RivalViewer, token(v1::Role::Viewer, "rival").await),
    ];
    for operation in OPERATIONS.iter().chain(NAMED).chain(OPERATORS) {
        for (who, token) in &callers {
            let found = outcome(&port, &rows, token, operation).await;
            assert_eq!(found, expected(operation.access, *who), "{} as {who:?}", operation.rpc);
        }
    }
}

#[tokio::test]
async fn lists_without_a_tenant_are_cut_to_what_the_caller_may_see() {
    let (port, _) = port().await;
    generation(&port, "rival").await;
    let rival = port.token(v1::Role::TenantAdmin, "rival").await.unwrap().secret;
    let tenants: v1::ListTenantsResponse =
        port.call_as(&rival, "TenantService/ListTenants", &v1::ListTenantsRequest::default()).await.unwrap();
    let seen: Vec<&str> = tenants.tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(seen, ["rival"]);
    let generations: v1::ListGenerationsResponse = port
        .call_as(&rival, "UsageService/ListGenerations", &v1::ListGenerationsRequest::default())
        .await
        .unwrap();
    let seen: Vec<&str> = generations.generations.iter().map(|row| row.tenant.as_str()).collect();
    assert_eq!(seen, ["rival"]);
    let entries: v1::ListEntriesResponse =
        port.call_as(&rival, "AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    assert!(!entries.entries.is_empty() && entries.entries.iter().all(|entry| entry.tenant == "rival"));
    let accounts: v1::ListAccountsResponse =
        port.call_as(&rival, "UsageService/ListAccounts", &v1::ListAccountsRequest::default()).await.unwrap();
    assert!(accounts.accounts.iter().all(|account| account.tenant == "rival"));
}

#[tokio::test]
async fn a_tenant_admin_cannot_reach_into_another_tenant_through_its_own() {
    let (port, rows) = port().await;
    let rival = port.token(v1::Role::TenantAdmin, "rival").await.unwrap().secret;
    // Its own tenant in the path, another tenant's key behind it.
    let get = v1::GetKeyRequest { tenant: "rival".to_owned(), id: rows.key.clone() };
    let refused = port.call_as::<_, v1::Key>(&rival, "KeyService/GetKey", &get).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let delete = v1::DeleteKeyRequest { tenant: "rival".to_owned(), id: rows.key.clone(), revision: 0 };
    let refused =
        port.call_as::<_, v1::DeleteKeyResponse>(&rival, "KeyService/DeleteKey", &delete).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let get = v1::GetKeyRequest { tenant: "acme".to_owned(), id: rows.key };
    port.call::<_, v1::Key>("KeyService/GetKey", &get).await.unwrap();
}
