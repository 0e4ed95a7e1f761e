//! Routing policies over the admin API: checked before they are stored, owned by tenants or the operator, and pushed.

use prost_types::FieldMask;
use serde_json::{Value, json};
use switchyard_cli::apply::{Prepared, export, variables::Variables};
use switchyard_control_plane::{
    distribution::policy,
    store::feed::{self, Reader},
};
use switchyard_proto::v1::{self, change::Action, resource::Body};
use switchyard_tests::{admin::AdminPort, client};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

fn stage(model: &str) -> v1::PolicyStage {
    let model = v1::WeightedModel { model: model.to_owned(), weight: 0 };
    v1::PolicyStage { models: vec![model], ..Default::default() }
}

fn policy_of(id: &str, stages: Vec<v1::PolicyStage>) -> v1::Policy {
    v1::Policy { id: id.to_owned(), stages, ..Default::default() }
}

async fn create(port: &AdminPort, tenant: &str, policy: v1::Policy) -> Result<v1::Policy, Status> {
    let request = v1::CreatePolicyRequest { tenant: tenant.to_owned(), policy: Some(policy) };
    let made: v1::CreatePolicyResponse = port.call("PolicyService/CreatePolicy", &request).await?;
    Ok(made.policy.unwrap())
}

async fn ids(port: &AdminPort, tenant: &str) -> Vec<String> {
    let request = v1::ListPoliciesRequest { tenant: tenant.to_owned(), ..Default::default() };
    let listed: v1::ListPoliciesResponse = port.call("PolicyService/ListPolicies", &request).await.unwrap();
    listed.policies.into_iter().map(|policy| policy.id).collect()
}

fn field(status: &Status) -> &str {
    status.metadata().get("switchyard-field").map_or("", |field| field.to_str().unwrap())
}

#[tokio::test]
async fn what_cannot_be_compiled_is_refused_with_line_and_column_and_not_stored() {
    let port = AdminPort::start().await.unwrap();
    let check = async |at: &str, says: &str, spoil: fn(&mut v1::Policy)| {
        let mut policy = policy_of("p", vec![stage("a/m"), stage("b/m")]);
        spoil(&mut policy);
        let status = create(&port, "", policy).await.unwrap_err();
        assert_eq!((status.code(), field(&status)), (Code::InvalidArgument, at), "{status:?}");
        assert!(status.message().contains(says), "{status:?}");
    };
    check("policy.match", "line 1, column 9", |p| p.r#match = "true && request.colour == 1".into()).await;
    check("policy.stages[1].when", "line 2, column 3", |p| p.stages[1].when = "true\n||oops".into()).await;
    check("policy.stages[0].check", "line 1", |p| p.stages[0].check = "answer.text".into()).await;
    check("policy.stages[0].schema", "not JSON", |p| p.stages[0].schema = "{".into()).await;
    check("policy.stages[0].escalate_on[0]", "none of error", |p| {
        p.stages[0].escalate_on = vec!["boredom".into()];
    })
    .await;
    check("policy.stages", "at least one", |p| p.stages.clear()).await;
    check("policy.id", "not a slug", |p| p.id = "Not A Slug".into()).await;
    assert!(ids(&port, "").await.is_empty());
}

#[tokio::test]
async fn one_name_may_be_the_operators_and_each_tenants() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    for tenant in ["", "acme"] {
        let made = create(&port, tenant, policy_of("fast", vec![stage("a/m")])).await.unwrap();
        assert_eq!(made.tenant, tenant);
    }
    let again = create(&port, "acme", policy_of("fast", vec![stage("a/m")])).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    create(&port, "acme", policy_of("own", vec![stage("a/m")])).await.unwrap();
    assert_eq!(
        (ids(&port, "").await, ids(&port, "acme").await),
        (vec!["fast".into()], vec!["fast".into(), "own".into()])
    );
    let strayed = v1::Policy { tenant: "acme".into(), ..policy_of("x", vec![stage("a/m")]) };
    assert_eq!(field(&create(&port, "", strayed).await.unwrap_err()), "policy.tenant");
    let nobodys = create(&port, "nobody", policy_of("x", vec![stage("a/m")])).await.unwrap_err();
    assert_eq!(nobodys.code(), Code::NotFound);
}

#[tokio::test]
async fn fields_change_one_by_one_and_the_revision_read_counts() {
    let port = AdminPort::start().await.unwrap();
    let mut policy = policy_of("p", vec![stage("a/m")]);
    policy.description = "first".into();
    let made = create(&port, "", policy).await.unwrap();
    let change = |revision| v1::UpdatePolicyRequest {
        id: "p".into(),
        policy: Some(v1::Policy { priority: 7, r#match: "request.json".into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["priority".into(), "match".into()] }),
        revision,
        ..Default::default()
    };
    let updated: v1::Policy = port.call("PolicyService/UpdatePolicy", &change(made.revision)).await.unwrap();
    assert_eq!((updated.priority, updated.description.as_str(), updated.stages.len()), (7, "first", 1));
    assert!(updated.revision > made.revision);
    let stale = port.call::<_, v1::Policy>("PolicyService/UpdatePolicy", &change(made.revision)).await;
    assert_eq!(stale.unwrap_err().code(), Code::Aborted);
    let delete = v1::DeletePolicyRequest { id: "p".into(), revision: updated.revision, ..Default::default() };
    port.call::<_, v1::DeletePolicyResponse>("PolicyService/DeletePolicy", &delete).await.unwrap();
    assert!(ids(&port, "").await.is_empty());
    let entries: v1::ListEntriesResponse =
        port.call("AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    assert_eq!(entries.entries.iter().filter(|entry| entry.noun == "policy").count(), 3);
}

#[tokio::test]
async fn rest_has_a_path_for_the_operators_and_one_for_tenants() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let client = client::http();
    let call = async |method: reqwest::Method, path: &str, body: Value| {
        let url = format!("http://{}/admin/v1/{path}", port.addr);
        let request = client.request(method, url).bearer_auth(&port.operator);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let body = json!({"policy": {"id": "p", "stages": [{"models": [{"model": "a/m"}]}]}});
    let (status, made) = call(reqwest::Method::POST, "policies", body.clone()).await;
    assert_eq!((status, &made["policy"]["tenant"]), (201, &json!("")), "{made}");
    let (status, made) = call(reqwest::Method::POST, "tenants/acme/policies", body).await;
    assert_eq!((status, &made["policy"]["tenant"]), (201, &json!("acme")), "{made}");
    let patch = json!({"policy": {"description": "ours"}});
    let (status, changed) = call(reqwest::Method::PATCH, "tenants/acme/policies/p", patch).await;
    assert_eq!((status, &changed["description"]), (200, &json!("ours")), "{changed}");
    let (_, operators) = call(reqwest::Method::GET, "policies/p", Value::Null).await;
    assert_eq!(operators["description"], "");
    let bad = json!({"policy": {"match": "request.x"}});
    let (status, refused) = call(reqwest::Method::PATCH, "policies/p", bad).await;
    assert_eq!(status, 400);
    assert!(refused.to_string().contains("line 1, column 1"), "{refused}");
}

#[tokio::test]
async fn policies_are_pushed_and_go_with_their_tenant() {
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    let mut own = policy_of("own", vec![stage("a/m")]);
    own.stages[0].schema = r#"{"type": "object"}"#.into();
    own.stages[0].deadlines = Some(v1::Deadlines { idle_ms: Some(5), ..Default::default() });
    create(&port, "acme", own.clone()).await.unwrap();
    create(&port, "", policy_of("all", vec![stage("a/m")])).await.unwrap();
    let (mut reader, state) = Reader::open(&port.pool).await.unwrap();
    let rows: Vec<feed::Policy> = reader.policies(None).map(Result::unwrap).collect().await;
    let mut sent: Vec<v1::PolicyConfig> = rows
        .into_iter()
        .map(|row| match policy::resource(row).body {
            Some(Body::Policy(config)) => config,
            other => panic!("{other:?}"),
        })
        .collect();
    sent.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!((sent[0].id.as_str(), sent[0].tenant.as_str()), ("all", ""));
    assert_eq!((sent[1].tenant.as_str(), &sent[1].stages), ("acme", &own.stages));
    drop(reader);

    let delete = v1::DeleteTenantRequest { id: "acme".into(), revision: 0 };
    port.call::<_, v1::DeleteTenantResponse>("TenantService/DeleteTenant", &delete).await.unwrap();
    let (mut reader, _) = Reader::open(&port.pool).await.unwrap();
    let since = Some(state.revision.number);
    let gone: Vec<_> = reader.tombstones(feed::Table::Policies, since).map(Result::unwrap).collect().await;
    assert_eq!(gone.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["acme#own"]);
}

const FILE: &str = r#"
tenants:
  - id: acme
policies:
  - id: cheap-then-strong
    match: request.priority == 'low'
    priority: 3
    sticky_by: user
    stages:
      - name: cheap
        models: [{model: a/small, weight: 95}, {model: a/smaller, weight: 5}]
        escalate_on: [error, timeout, invalid_json]
        check: size(answer.text) > 0
        schema: {type: object}
        provider: {only: [p], max_price: {prompt: "1.50"}}
        hedge: {quantile_permille: 950, max_rate_permille: 50}
        deadlines: {first_content_ms: 2000}
        retries: 0
      - {models: [a/large]}
  - {id: own, tenant: acme, disabled: true, stages: [{models: [a/large]}]}
"#;

async fn apply(port: &AdminPort, file: &str, prune: bool) -> Result<Vec<(Action, String)>, Status> {
    let manifest = Prepared::parse("f.yaml".into(), file.into(), &Variables::new()).unwrap().manifest;
    let request = v1::ApplyRequest { manifest: Some(manifest), prune, ..Default::default() };
    let answer: v1::ApplyResponse = port.call("ApplyService/Apply", &request).await?;
    Ok(answer
        .changes
        .iter()
        .map(|change| (change.action(), format!("{} {}", change.noun, change.id)))
        .collect())
}

#[tokio::test]
async fn a_file_makes_policies_and_its_export_changes_nothing() {
    let port = AdminPort::start().await.unwrap();
    let made = apply(&port, FILE, false).await.unwrap();
    let expected = ["tenant acme", "policy cheap-then-strong", "policy acme/own"];
    assert_eq!(made, expected.map(|told| (Action::Create, told.to_owned())));
    assert_eq!(apply(&port, FILE, false).await.unwrap(), []);
    let exported: v1::Manifest = port.call("ApplyService/Export", &v1::ExportRequest {}).await.unwrap();
    let yaml = export::to_yaml(exported);
    assert_eq!(apply(&port, &yaml, true).await.unwrap(), [], "{yaml}");
    let (less, _) = FILE.split_once("  - {id: own").unwrap();
    assert_eq!(apply(&port, less, true).await.unwrap(), [(Action::Delete, "policy acme/own".to_owned())]);
}

#[tokio::test]
async fn a_bad_policy_in_a_file_is_named_by_its_place() {
    let port = AdminPort::start().await.unwrap();
    for (from, to, at) in [
        ("request.priority ==", "request.prioritee ==", "policies[0].match"),
        ("retries: 0", "retries: 99", "policies[0].stages[0].retries"),
        ("id: own, tenant: acme", "id: own, tenant: nobody", ""),
        ("id: own, tenant: acme", "id: cheap-then-strong", "policies[1].id"),
    ] {
        let status = apply(&port, &FILE.replacen(from, to, 1), false).await.unwrap_err();
        assert_eq!(field(&status), at, "{status:?}");
    }
    assert!(ids(&port, "").await.is_empty());
}
