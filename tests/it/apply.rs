//! `apply` and `export`: a file is made true in one change, or not at all.

use prost::Message;
use serde_json::{Value, json};
use switchyard_cli::apply::{Prepared, export, variables::Variables};
use switchyard_proto::v1::{self, change::Action};
use switchyard_tests::admin::AdminPort;
use tonic::{Code, Status};

/// The admin port, and who asks there.
struct Admin {
    port: AdminPort,
    token: String,
}

impl Admin {
    async fn start() -> Self {
        let port = AdminPort::start().await.unwrap();
        Self { token: port.operator.clone(), port }
    }

    async fn call<A: Message, B: Message + Default>(&self, rpc: &str, request: A) -> Result<B, Status> {
        self.port.call_as(&self.token, rpc, &request).await
    }

    async fn send(&self, request: v1::ApplyRequest) -> Result<v1::ApplyResponse, Status> {
        self.call("ApplyService/Apply", request).await
    }

    async fn try_apply(&self, file: &str, variables: &[(&str, &str)]) -> Result<v1::ApplyResponse, Status> {
        self.send(v1::ApplyRequest { manifest: Some(manifest(file, variables)), ..Default::default() }).await
    }

    async fn apply(&self, file: &str) -> v1::ApplyResponse {
        self.try_apply(file, SECRETS).await.unwrap()
    }

    async fn prune(&self, file: &str) -> v1::ApplyResponse {
        let manifest = Some(manifest(file, SECRETS));
        self.send(v1::ApplyRequest { manifest, prune: true, ..Default::default() }).await.unwrap()
    }

    async fn try_export(&self) -> Result<v1::Manifest, Status> {
        self.call("ApplyService/Export", v1::ExportRequest {}).await
    }

    async fn export(&self) -> v1::Manifest {
        self.try_export().await.unwrap()
    }

    async fn tenant(&self, tenant: v1::Tenant, credits_usd: &str) {
        let ask = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: credits_usd.into() };
        let _: v1::CreateTenantResponse = self.call("TenantService/CreateTenant", ask).await.unwrap();
    }

    async fn key(&self, tenant: &str, name: &str) -> v1::Key {
        let ask = v1::ListKeysRequest { tenant: tenant.into(), ..Default::default() };
        let listed: v1::ListKeysResponse = self.call("KeyService/ListKeys", ask).await.unwrap();
        listed.keys.into_iter().find(|key| key.name == name).unwrap()
    }

    async fn revision(&self) -> i64 {
        sqlx::query_scalar("SELECT revision FROM config_state").fetch_one(&self.port.pool).await.unwrap()
    }

    /// A ledger line that names all of these.
    async fn book(&self, tenant: &str, key: &str, model: &str, provider: &str) {
        let statement = "INSERT INTO lines (id, attempt, kind, tenant, key, model, endpoint, provider)
             VALUES ($1, 1, 'attempt', $2, $3, $4, $5, $5)";
        let line = sqlx::query(statement).bind(uuid::Uuid::now_v7()).bind(tenant).bind(key).bind(model);
        line.bind(provider).execute(&self.port.pool).await.unwrap();
    }
}

const SECRETS: &[(&str, &str)] =
    &[("OPENAI_API_KEY", "sk-openai-canary"), ("ACME_KEY", "sk-brought-from-elsewhere-canary-1")];

const FILE: &str = r#"
providers:
  - id: openai
    adapter: openai
    base_url: https://api.openai.com/v1
    credential: ${OPENAI_API_KEY}
    data_policy: {retains_prompts: true, trains: false}
    quirks: {drop: "store,metadata"}
    auth: bearer
models:
  - id: openai/gpt-5-mini
    aliases: [mini]
    released_at: 2025-08-07T00:00:00.123456789Z
    endpoints:
      - provider: openai
        upstream_id: gpt-5-mini
        context_length: 400000
        max_output_tokens: 128000
        price: {input: "0.25", cached_input: "0.025", output: "2.00"}
tenants:
  - id: acme
    credits: "100.00"
    keys:
      - {name: ci, secret: ${ACME_KEY}, limit: {usd: "5.00", reset: daily}, rates: {requests_per_minute: 600}}
      - {name: web, allowed_models: [openai/*], expires_at: 2099-01-01T00:00:00.987654321Z}
"#;

fn manifest(file: &str, variables: &[(&str, &str)]) -> v1::Manifest {
    let variables: Variables =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Prepared::parse("test.yaml".into(), file.into(), &variables).unwrap().manifest
}

/// Providers that are a row of the built-in catalogue with a few values of their own.
const PROFILES: &str = r#"
providers:
  - {id: groq, profile: groq, credential: ${OPENAI_API_KEY}}
  - id: edge
    profile: cloudflare
    base_url: https://api.cloudflare.com/client/v4/accounts/7/ai/v1
    display_name: Edge
    data_policy: {trains: true}
    quirks: {joined_text: "true"}
"#;

/// A tenant with its own credential for one of its keys.
const CREDENTIALS: &str = r#"
providers:
  - {id: openai, adapter: openai, base_url: https://api.openai.com/v1}
tenants:
  - id: acme
    keys:
      - {name: ci, secret: ${ACME_KEY}, include_byok_in_limit: true}
    credentials:
      - {id: mine, provider: openai, secret: ${OPENAI_API_KEY}, required: true, order: -1, allowed_keys: [ci]}
"#;

/// Action, noun, id and fields of every change, e.g. `Update key acme/ci limit.usd`.
fn told(answer: &v1::ApplyResponse) -> Vec<String> {
    let told = answer.changes.iter().map(|change| {
        let fields: Vec<&str> = change.fields.iter().map(|field| field.field.as_str()).collect();
        let drifted = if change.drifted { " (drifted)" } else { "" };
        let text =
            format!("{:?} {} {} {}{drifted}", change.action(), change.noun, change.id, fields.join(","));
        text.trim_end().to_owned()
    });
    told.collect()
}

fn field(status: &Status) -> &str {
    status.metadata().get("switchyard-field").map_or("", |field| field.to_str().unwrap())
}

#[tokio::test]
async fn the_same_file_twice_changes_nothing() {
    let admin = Admin::start().await;
    let first = admin.apply(FILE).await;
    let nouns: Vec<(Action, &str, &str)> = first
        .changes
        .iter()
        .map(|change| (change.action(), change.noun.as_str(), change.id.as_str()))
        .collect();
    let expected = [
        (Action::Create, "provider", "openai"),
        (Action::Create, "model", "openai/gpt-5-mini"),
        (Action::Create, "endpoint", "openai/gpt-5-mini#openai"),
        (Action::Create, "tenant", "acme"),
        (Action::Create, "key", "acme/ci"),
        (Action::Create, "key", "acme/web"),
    ];
    assert_eq!(nouns, expected);
    let [made] = first.secrets.as_slice() else { panic!("one secret was made") };
    assert_eq!((made.tenant.as_str(), made.key.as_str()), ("acme", "web"));
    assert!(made.secret.starts_with("sk-sy-v1-"));

    let before = admin.revision().await;
    let second = admin.apply(FILE).await;
    assert_eq!((told(&second), second.secrets.len()), (vec![], 0));
    assert_eq!(admin.revision().await, before);
    assert_eq!(second.revision.unwrap().number, u64::try_from(before).unwrap());
}

#[tokio::test]
async fn one_apply_is_one_revision() {
    let admin = Admin::start().await;
    let before = admin.revision().await;
    admin.apply(FILE).await;
    assert_eq!(admin.revision().await, before + 1);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let admin = Admin::start().await;
    let before = admin.revision().await;
    let request =
        v1::ApplyRequest { manifest: Some(manifest(FILE, SECRETS)), dry_run: true, ..Default::default() };
    let dry = admin.send(request).await.unwrap();
    assert_eq!((admin.revision().await, dry.secrets.len()), (before, 0));
    assert!(admin.export().await.tenants.is_empty());
    assert_eq!(told(&dry), told(&admin.apply(FILE).await));
}

#[tokio::test]
async fn nothing_changes_when_anything_is_invalid() {
    let admin = Admin::start().await;
    for (from, to, at) in [
        ("adapter: openai", "adapter: opneai", "providers[0].adapter"),
        ("base_url: https://api.openai.com/v1", "base_url: nowhere", "providers[0].base_url"),
        ("id: openai/gpt-5-mini", "id: gpt-5-mini", "models[0].model.id"),
        ("aliases: [mini]", "aliases: [mini, mini]", "models[0].model.aliases[1]"),
        ("input: \"0.25\"", "input: cheap", "models[0].endpoints[0].price.input"),
        ("provider: openai", "provider: nobody", "models[0].endpoints[0].provider"),
        ("id: acme", "id: ACME", "tenants[0].tenant.id"),
        ("credits: \"100.00\"", "credits: many", "tenants[0].credits_usd"),
        ("usd: \"5.00\"", "usd: five", "tenants[0].keys[0].key.limit.usd"),
        (
            "requests_per_minute: 600",
            "requests_per_minute: 0",
            "tenants[0].keys[0].key.rates.requests_per_minute",
        ),
        ("openai/*", "openai*", "tenants[0].keys[1].key.allowed_models[0]"),
        ("name: web", "name: ci", "tenants[0].keys[1].key.name"),
        ("secret: ${ACME_KEY}", "secret: short", "tenants[0].keys[0].secret"),
        ("secret: ${ACME_KEY}", "secret: ${NOT_SET}", "tenants[0].keys[0].secret"),
        ("credential: ${OPENAI_API_KEY}", "credential: ${NOT_SET}", "providers[0].credential"),
    ] {
        assert!(FILE.contains(from), "{from}");
        let status = admin.try_apply(&FILE.replacen(from, to, 1), SECRETS).await.unwrap_err();
        assert_eq!(
            (status.code(), field(&status)),
            (Code::InvalidArgument, at),
            "{to}: {}",
            status.message()
        );
        assert!(status.message().starts_with(at), "{}", status.message());
    }
    assert_eq!(admin.revision().await, 1, "the first admin token alone");
    assert!(admin.export().await.providers.is_empty());
}

#[tokio::test]
async fn edits_by_others_show_as_drift_and_are_set_back() {
    let admin = Admin::start().await;
    admin.apply(FILE).await;
    let key = admin.key("acme", "ci").await;
    assert_eq!(key.managed_by, "file");
    let edit = v1::UpdateKeyRequest {
        tenant: "acme".into(),
        id: key.id,
        key: Some(v1::Key { disabled: true, ..Default::default() }),
        ..Default::default()
    };
    let _: v1::Key = admin.call("KeyService/UpdateKey", edit).await.unwrap();
    let again = admin.apply(FILE).await;
    assert_eq!(told(&again), ["Update key acme/ci disabled (drifted)"]);
    let field = &again.changes[0].fields[0];
    assert_eq!((field.before.as_str(), field.after.as_str()), ("true", "false"));
    assert!(admin.apply(FILE).await.changes.is_empty());
}

#[tokio::test]
async fn a_changed_file_changes_what_differs() {
    let admin = Admin::start().await;
    admin.apply(FILE).await;
    let file = FILE.replace("input: \"0.25\"", "input: \"0.30\"").replace("reset: daily", "reset: monthly");
    let changed = admin.apply(&file).await;
    let expected = ["Update endpoint openai/gpt-5-mini#openai price.input", "Update key acme/ci limit.reset"];
    assert_eq!(told(&changed), expected);
}

#[tokio::test]
async fn credits_are_granted_when_the_tenant_is_first_made() {
    let admin = Admin::start().await;
    let left = async || {
        let ask = v1::GetTenantRequest { id: "acme".into() };
        admin.call::<_, v1::Tenant>("TenantService/GetTenant", ask).await.unwrap().credits_left_usd
    };
    admin.apply(FILE).await;
    assert_eq!(left().await, "100");
    admin.apply(&FILE.replace("100.00", "250.00")).await;
    assert_eq!(left().await, "100");
}

#[tokio::test]
async fn stored_secrets_are_kept_where_the_file_has_none_and_replaced_where_it_has_others() {
    let admin = Admin::start().await;
    admin.apply(FILE).await;
    let before = admin.key("acme", "ci").await.hash;
    let kept = admin.try_apply(FILE, &[]).await.unwrap();
    assert_eq!(told(&kept), Vec::<String>::new());
    let other = &[("OPENAI_API_KEY", "sk-other-canary"), ("ACME_KEY", "sk-brought-from-elsewhere-canary-2")];
    let replaced = admin.try_apply(FILE, other).await.unwrap();
    assert_eq!(told(&replaced), ["Update provider openai credential", "Update key acme/ci secret"]);
    assert!(!format!("{:?}", replaced.changes).contains("canary"));
    assert_ne!(admin.key("acme", "ci").await.hash, before);
    assert!(admin.try_apply(FILE, other).await.unwrap().changes.is_empty());
}

#[tokio::test]
async fn a_new_origin_asks_for_the_credential_again() {
    let admin = Admin::start().await;
    admin.apply(FILE).await;
    let moved = FILE.replace("https://api.openai.com", "https://proxy.example");
    let status = admin.try_apply(&moved, &[]).await.unwrap_err();
    assert_eq!((status.code(), field(&status)), (Code::InvalidArgument, "providers[0].credential"));
    assert_eq!(told(&admin.apply(&moved).await), ["Update provider openai base_url,credential"]);
}

#[tokio::test]
async fn prune_removes_what_the_file_made_and_nothing_else() {
    let admin = Admin::start().await;
    admin.tenant(v1::Tenant { id: "byhand".into(), ..Default::default() }, "").await;
    let file = FILE.replace("    credits: \"100.00\"\n", "");
    admin.apply(&format!("{file}  - {{id: byhand, name: renamed}}\n")).await;

    let gone = admin.prune("providers: []\n").await;
    let expected = [
        "Delete key acme/ci",
        "Delete key acme/web",
        "Delete tenant acme",
        "Delete endpoint openai/gpt-5-mini#openai",
        "Delete model openai/gpt-5-mini",
        "Delete provider openai",
    ];
    assert_eq!(told(&gone), expected);
    let left = admin.export().await;
    let tenants: Vec<&str> =
        left.tenants.iter().map(|entry| entry.tenant.as_ref().unwrap().id.as_str()).collect();
    assert_eq!((tenants, left.providers.len(), left.models.len()), (vec!["byhand"], 0, 0));
    assert!(admin.prune("providers: []\n").await.changes.is_empty());
    // What is gone can come back.
    assert_eq!(admin.apply(&file).await.changes.len(), 6);
}

#[tokio::test]
async fn prune_disables_what_has_ledger_lines() {
    let admin = Admin::start().await;
    admin.apply(FILE).await;
    let key = admin.key("acme", "ci").await.id;
    admin.book("acme", &key, "openai/gpt-5-mini", "openai").await;
    let expected = [
        "Disable key acme/ci disabled",
        "Delete key acme/web",
        "Disable tenant acme disabled",
        "Disable endpoint openai/gpt-5-mini#openai disabled",
        "Disable model openai/gpt-5-mini disabled",
        "Disable provider openai disabled",
    ];
    assert_eq!(told(&admin.prune("tenants: []\n").await), expected);
    assert!(admin.prune("tenants: []\n").await.changes.is_empty());
}

#[tokio::test]
async fn prune_keeps_a_tenant_whose_key_somebody_else_made() {
    let admin = Admin::start().await;
    admin.apply(&FILE.replace("    credits: \"100.00\"\n", "")).await;
    let key = v1::Key { name: "mine".into(), ..Default::default() };
    let ask = v1::CreateKeyRequest { tenant: "acme".into(), key: Some(key), ..Default::default() };
    let _: v1::CreateKeyResponse = admin.call("KeyService/CreateKey", ask).await.unwrap();
    let gone = told(&admin.prune("tenants: []\n").await);
    assert!(gone.contains(&"Disable tenant acme disabled".to_owned()), "{gone:?}");
    assert!(!admin.key("acme", "mine").await.disabled);
}

#[tokio::test]
async fn owners_prune_their_own() {
    let admin = Admin::start().await;
    let request = |file: &str, owner: &str, prune| v1::ApplyRequest {
        manifest: Some(manifest(file, &[])),
        managed_by: owner.into(),
        prune,
        ..Default::default()
    };
    admin.send(request("tenants: [{id: one}]", "one", false)).await.unwrap();
    admin.send(request("tenants: [{id: two}]", "two", false)).await.unwrap();
    let gone = admin.send(request("tenants: []", "two", true)).await.unwrap();
    assert_eq!(told(&gone), ["Delete tenant two"]);
    let status = admin.send(request("tenants: []", "No Name", true)).await.unwrap_err();
    assert_eq!(field(&status), "managed_by");
}

#[tokio::test]
async fn what_is_exported_changes_nothing_when_applied() {
    let admin = Admin::start().await;
    admin.apply(FILE).await;
    admin.tenant(v1::Tenant { id: "byhand".into(), markup_ppm: 50_000, ..Default::default() }, "7").await;
    let yaml = export::to_yaml(admin.export().await);
    assert!(!yaml.contains("canary") && yaml.contains("${SWITCHYARD_PROVIDER_OPENAI}"), "{yaml}");
    let before = admin.revision().await;
    assert_eq!(told(&admin.try_apply(&yaml, &[]).await.unwrap()), Vec::<String>::new());
    assert_eq!(admin.revision().await, before);

    // Elsewhere the secrets are asked for, and with them the same comes about.
    let elsewhere = Admin::start().await;
    let status = elsewhere.try_apply(&yaml, &[]).await.unwrap_err();
    assert!(status.message().contains("SWITCHYARD_PROVIDER_OPENAI"), "{}", status.message());
    let secrets = [
        ("SWITCHYARD_PROVIDER_OPENAI", "sk-openai"),
        ("SWITCHYARD_KEY_ACME_CI", "sk-brought-from-elsewhere-1234567890"),
        ("SWITCHYARD_KEY_ACME_WEB", "sk-brought-from-elsewhere-1234567891"),
    ];
    elsewhere.try_apply(&yaml, &secrets).await.unwrap();
    assert_eq!(export::to_yaml(elsewhere.export().await), yaml);
}

#[tokio::test]
async fn a_profile_is_stored_by_its_name_and_comes_back_as_such() {
    let admin = Admin::start().await;
    admin.apply(PROFILES).await;
    let exported = admin.export().await;
    let [edge, groq] = exported.providers.as_slice() else { panic!("two providers") };
    assert_eq!((groq.profile.as_str(), groq.adapter.as_str(), groq.base_url.as_str()), ("groq", "", ""));
    assert!(groq.quirks.is_empty() && groq.data_policy.is_none() && groq.has_credential, "{groq:?}");
    assert_eq!((edge.profile.as_str(), edge.adapter.as_str(), edge.quirks.len()), ("cloudflare", "", 1));

    let yaml = export::to_yaml(exported);
    assert!(yaml.contains("profile: groq") && !yaml.contains("adapter:"), "{yaml}");
    let before = admin.revision().await;
    assert_eq!(told(&admin.try_apply(&yaml, &[]).await.unwrap()), Vec::<String>::new());
    assert_eq!(told(&admin.apply(PROFILES).await), Vec::<String>::new());
    assert_eq!(admin.revision().await, before);
}

#[tokio::test]
async fn profiles_that_cannot_be_filled_in_are_refused_by_field() {
    let admin = Admin::start().await;
    for (change, place, part) in [
        (("profile: groq", "profile: groqq"), "providers[0].profile", "near are groq"),
        (("profile: groq", "profile: frobnicator"), "providers[0].profile", "is no profile"),
        (
            ("    base_url: https://api.cloudflare.com/client/v4/accounts/7/ai/v1\n", ""),
            "providers[1].base_url",
            "{account}",
        ),
        (("profile: groq", "profile: groq, adapter: opneai"), "providers[0].adapter", "is none of"),
    ] {
        let status = admin.try_apply(&PROFILES.replace(change.0, change.1), SECRETS).await.unwrap_err();
        assert_eq!(field(&status), place, "{}", status.message());
        assert!(status.message().contains(part), "{}", status.message());
    }
}

#[tokio::test]
async fn a_profile_with_another_origin_asks_for_the_credential_again() {
    let admin = Admin::start().await;
    admin.apply(PROFILES).await;
    let moved = PROFILES.replace("profile: groq", "profile: deepseek");
    let status =
        admin.try_apply(&moved.replace(", credential: ${OPENAI_API_KEY}", ""), &[]).await.unwrap_err();
    assert_eq!(field(&status), "providers[0].credential", "{}", status.message());
    let plain = PROFILES
        .replace("profile: groq", "adapter: openai, base_url: https://api.groq.com/openai/v1")
        .replace(", credential: ${OPENAI_API_KEY}", "");
    let answer = admin.try_apply(&plain, &[]).await.unwrap();
    assert_eq!(told(&answer), ["Update provider groq profile,adapter,base_url"]);
}

#[tokio::test]
async fn a_tenants_credentials_are_applied_exported_and_pruned_with_it() {
    let admin = Admin::start().await;
    let first = told(&admin.apply(CREDENTIALS).await);
    let made = first.last().unwrap();
    assert!(made.starts_with("Create credential acme/mine ") && made.ends_with(",secret"), "{first:?}");
    assert_eq!(told(&admin.apply(CREDENTIALS).await), Vec::<String>::new());
    let replaced = admin.try_apply(CREDENTIALS, &[("OPENAI_API_KEY", "sk-other")]).await.unwrap();
    assert_eq!(told(&replaced), ["Update credential acme/mine secret"]);

    let yaml = export::to_yaml(admin.export().await);
    assert!(yaml.contains("secret: ${SWITCHYARD_CREDENTIAL_ACME_MINE}"), "{yaml}");
    assert!(
        yaml.contains("    allowed_keys:\n    - ci\n") && yaml.contains("include_byok_in_limit: true"),
        "{yaml}"
    );
    assert_eq!(told(&admin.try_apply(&yaml, &[]).await.unwrap()), Vec::<String>::new());

    let elsewhere = Admin::start().await;
    let status = elsewhere.try_apply(CREDENTIALS, &SECRETS[1..]).await.unwrap_err();
    assert_eq!(field(&status), "tenants[0].credentials[0].credential.secret", "{}", status.message());
    let without = &CREDENTIALS[..CREDENTIALS.find("    credentials:").unwrap()];
    assert_eq!(told(&admin.prune(without).await), ["Delete credential acme/mine"]);
}

/// Budgets of everybody who can have one.
const BUDGETS: &str = "
providers:
  - {id: openai, adapter: openai, base_url: 'https://api.openai.com/v1', credential: ${OPENAI_API_KEY},
     credential_budget: {usd: '900', reset: monthly}}
tenants:
  - id: acme
    budgets:
      - {window: monthly, usd: 500}
      - {window: 24h, usd: '20.5'}
    include_byok_in_budgets: true
    user_limit: {usd: '9', reset: weekly}
    keys:
      - {name: ci, secret: ${ACME_KEY}, trust_user: true, user_limit: {usd: '5', reset: daily}}
";

#[tokio::test]
async fn budgets_are_applied_and_exported_and_refused_by_field() {
    let admin = Admin::start().await;
    admin.apply(BUDGETS).await;
    assert_eq!(told(&admin.apply(BUDGETS).await), Vec::<String>::new());
    let yaml = export::to_yaml(admin.export().await);
    for part in ["credential_budget:", "window: 24h", "include_byok_in_budgets: true", "trust_user: true"] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
    assert_eq!(told(&admin.try_apply(&yaml, &[]).await.unwrap()), Vec::<String>::new());
    let changed = BUDGETS.replace("usd: 500", "usd: 600");
    assert_eq!(told(&admin.apply(&changed).await), ["Update tenant acme budgets"]);
    for (change, place) in [
        (("usd: 500", "usd: lots"), "tenants[0].tenant.budgets[0].usd"),
        (("window: 24h", "window: 24"), "tenants[0].tenant.budgets[1].window"),
        (("window: 24h, usd: '20.5'", "window: daily, usd: 501"), "tenants[0].tenant.budgets[1].usd"),
        (("usd: '9'", "usd: ''"), "tenants[0].tenant.user_limit.usd"),
        (("usd: '900'", "usd: '-1'"), "providers[0].credential_budget.usd"),
        (("trust_user: true, ", ""), "tenants[0].keys[0].key.user_limit"),
    ] {
        let status = admin.try_apply(&BUDGETS.replace(change.0, change.1), SECRETS).await.unwrap_err();
        assert_eq!(field(&status), place, "{}", status.message());
    }
}

const WEBHOOKS: &str = r#"
tenants:
  - id: acme
webhooks:
  - {id: ops, url: "https://hooks.example.com/ops", secret: ${OPS_SECRET}, low_balance_usd: "5.00"}
  - {id: billing, tenant: acme, url: "https://acme.example/hook", thresholds: [90, 50]}
"#;

#[tokio::test]
async fn webhooks_are_applied_exported_and_pruned_and_a_secret_that_was_made_is_shown_once() {
    let admin = Admin::start().await;
    let secrets = [("OPS_SECRET", "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5IQ==")];
    let first = admin.try_apply(WEBHOOKS, &secrets).await.unwrap();
    let [made] = first.secrets.as_slice() else { panic!("one secret was made") };
    assert_eq!((made.tenant.as_str(), made.webhook.as_str(), made.key.as_str()), ("acme", "billing", ""));
    assert!(told(&first)[1].starts_with("Create webhook ops "), "{:?}", told(&first));
    assert_eq!(told(&admin.try_apply(WEBHOOKS, &secrets).await.unwrap()), Vec::<String>::new());

    let yaml = export::to_yaml(admin.export().await);
    assert!(yaml.contains("secret: ${SWITCHYARD_WEBHOOK_ACME_BILLING}"), "{yaml}");
    assert_eq!(told(&admin.try_apply(&yaml, &[]).await.unwrap()), Vec::<String>::new());

    let elsewhere = Admin::start().await;
    let status = elsewhere.try_apply(WEBHOOKS, &[]).await.unwrap_err();
    assert_eq!(field(&status), "webhooks[0].webhook.secret", "{}", status.message());
    let without = &WEBHOOKS[..WEBHOOKS.find("webhooks:").unwrap()];
    assert_eq!(told(&admin.prune(without).await), ["Delete webhook ops", "Delete webhook acme/billing"]);
}

#[tokio::test]
async fn only_operators_apply_and_export() {
    let mut admin = Admin::start().await;
    admin.apply(FILE).await;
    let mut tokens = vec![("nonsense".to_owned(), Code::Unauthenticated)];
    for (role, tenant) in
        [(v1::Role::TenantAdmin, "acme"), (v1::Role::Viewer, "acme"), (v1::Role::Viewer, "")]
    {
        let made = admin.port.token(role, tenant).await.unwrap();
        tokens.push((made.secret, Code::PermissionDenied));
    }
    for (token, code) in tokens {
        admin.token = token;
        assert_eq!(admin.try_apply(FILE, SECRETS).await.unwrap_err().code(), code);
        assert_eq!(admin.try_export().await.unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn rest_applies_too() {
    let admin = Admin::start().await;
    let body =
        json!({"manifest": {"tenants": [{"tenant": {"id": "acme"}, "keys": [{"key": {"name": "ci"}}]}]}});
    let client = switchyard_tests::client::http();
    let send = async |body: Value| {
        let request =
            client.post(format!("http://{}/admin/v1/apply", admin.port.addr)).bearer_auth(&admin.token);
        let answer = request.json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, answer) = send(body.clone()).await;
    assert_eq!((status, &answer["changes"][1]["id"]), (200, &json!("acme/ci")), "{answer}");
    assert_eq!(answer["changes"][0]["action"], "CREATE");
    assert_eq!(answer["secrets"][0]["key"], "ci");
    assert_eq!(send(body).await.1["changes"], json!([]));
    let (status, answer) = send(json!({"manifest": {"tenants": [{"tenant": {"id": "A"}}]}})).await;
    assert_eq!((status, &answer["error"]["metadata"]["field"]), (400, &json!("tenants[0].tenant.id")));
}
