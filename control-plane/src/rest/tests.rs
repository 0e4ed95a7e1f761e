//! The transcoder before a service that says what it was asked: requests in, gRPC messages out, and back.

use std::sync::Mutex;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use prost_types::FieldMask;
use serde_json::{Value, json};
use switchyard_proto::v1::{
    AdjustCreditsRequest, CreateTenantRequest, CreateTenantResponse, DeleteTenantRequest,
    DeleteTenantResponse, GetTenantRequest, ListTenantsRequest, ListTenantsResponse, Tenant,
    UpdateTenantRequest,
    tenant_service_server::{TenantService, TenantServiceServer},
};
use tonic::{Code, Response as Reply, Status, metadata::MetadataMap, service::Routes};
use tower::ServiceExt;

use crate::rest::{self, operation::Table};

/// Answers every call and keeps the updates it was asked for.
#[derive(Default)]
struct Fake {
    updates: std::sync::Arc<Mutex<Vec<UpdateTenantRequest>>>,
}

type Answer<T> = Result<Reply<T>, Status>;

#[tonic::async_trait]
impl TenantService for Fake {
    async fn list_tenants(&self, request: tonic::Request<ListTenantsRequest>) -> Answer<ListTenantsResponse> {
        let asked = request.into_inner();
        let tenants =
            (0..asked.page_size).map(|n| Tenant { id: format!("t{n}"), ..Default::default() }).collect();
        Ok(Reply::new(ListTenantsResponse { tenants, next_page_token: asked.page_token }))
    }

    async fn get_tenant(&self, request: tonic::Request<GetTenantRequest>) -> Answer<Tenant> {
        let header = |name| request.metadata().get(name).map(|value| value.to_str().unwrap().to_owned());
        let name = format!("{:?} {:?}", header("authorization"), header("traceparent"));
        let id = request.into_inner().id;
        match id.as_str() {
            "gone" => Err(failed(Code::NotFound, "not_found", None)),
            "broken" => Err(Status::internal("canary: select * from tenants")),
            _ => Ok(Reply::new(Tenant { id, name, revision: u64::MAX, ..Default::default() })),
        }
    }

    async fn create_tenant(
        &self,
        request: tonic::Request<CreateTenantRequest>,
    ) -> Answer<CreateTenantResponse> {
        Ok(Reply::new(CreateTenantResponse { tenant: request.into_inner().tenant }))
    }

    async fn update_tenant(&self, request: tonic::Request<UpdateTenantRequest>) -> Answer<Tenant> {
        let asked = request.into_inner();
        if asked.revision == 1 {
            return Err(failed(Code::Aborted, "conflict", Some("revision")));
        }
        self.updates.lock().unwrap().push(asked.clone());
        Ok(Reply::new(asked.tenant.unwrap_or_default()))
    }

    async fn delete_tenant(&self, _: tonic::Request<DeleteTenantRequest>) -> Answer<DeleteTenantResponse> {
        Ok(Reply::new(DeleteTenantResponse {}))
    }

    async fn adjust_credits(&self, request: tonic::Request<AdjustCreditsRequest>) -> Answer<Tenant> {
        let asked = request.into_inner();
        Ok(Reply::new(Tenant { id: asked.id, credits_left_usd: asked.usd, ..Default::default() }))
    }
}

fn failed(code: Code, error_type: &str, field: Option<&str>) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("switchyard-error-type", error_type.parse().unwrap());
    if let Some(field) = field {
        metadata.insert("switchyard-field", field.parse().unwrap());
    }
    Status::with_metadata(code, "as the service says", metadata)
}

fn request(verb: &str, path: &str, body: &str) -> Request<Body> {
    let builder = Request::builder().method(verb).uri(path).header("authorization", "Bearer t");
    builder.body(Body::from(body.to_owned())).unwrap()
}

async fn send(request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let routes = Routes::new(TenantServiceServer::new(Fake::default()));
    let (parts, body) = rest::port(routes).oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn call(verb: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, _, body) = send(request(verb, path, body)).await;
    (status.as_u16(), body)
}

/// What the service hears when a tenant is patched with this body.
async fn patched(body: &Value) -> UpdateTenantRequest {
    let fake = Fake::default();
    let updates = fake.updates.clone();
    let port = rest::port(Routes::new(TenantServiceServer::new(fake)));
    let answer = port.oneshot(request("PATCH", "/admin/v1/tenants/acme", &body.to_string())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{body}");
    updates.lock().unwrap().pop().unwrap()
}

/// The answer's body as it is.
async fn text(path: &str, accept: &str) -> (u16, String, String) {
    let routes = Routes::new(TenantServiceServer::new(Fake::default()));
    let mut request = request("GET", path, "");
    request.headers_mut().insert("accept", accept.parse().unwrap());
    let (parts, body) = rest::port(routes).oneshot(request).await.unwrap().into_parts();
    let kind = parts.headers["content-type"].to_str().unwrap().to_owned();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), kind, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn whole_lists_are_had_as_csv_or_as_json_lines() {
    let (status, kind, csv) = text("/admin/v1/tenants", "text/csv").await;
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!((status, kind.as_str(), rows.len()), (200, "text/csv; charset=utf-8", 1 + 1000));
    let columns: Vec<&str> = rows[0].split(',').collect();
    assert!(columns.starts_with(&["id", "name", "disabled", "rates.requests_per_minute"]), "{columns:?}");
    assert!(rows[2].starts_with("t1,,false,,"), "{}", rows[2]);
    let (_, kind, lines) = text("/admin/v1/tenants", "application/x-ndjson").await;
    let second: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!((kind.as_str(), &second["id"]), ("application/x-ndjson", &json!("t1")));
    let (status, kind, _) = text("/admin/v1/tenants/acme", "text/csv").await;
    assert_eq!((status, kind.as_str()), (200, "application/json"), "what is no list is answered as always");
    let (status, ..) = text("/admin/v1/nothing", "text/csv").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn answers_have_snake_case_names_and_defaults_and_no_absent_messages() {
    let (status, body) = call("GET", "/admin/v1/tenants/acme", "").await;
    let expected = json!({
        "id": "acme",
        "name": "Some(\"Bearer t\") None",
        "disabled": false,
        "prepaid": false,
        "markup_ppm": "0",
        "allowed_models": [],
        "revision": "18446744073709551615",
        "managed_by": "",
        "credits_left_usd": "",
        "budgets": [],
        "include_byok_in_budgets": false,
        "price_book": [],
        "allowed_providers": [],
        "ignored_providers": [],
        "zdr": false,
        "data_collection": "",
        "allowed_regions": [],
    });
    assert_eq!((status, body), (200, expected));
}

#[tokio::test]
async fn trace_context_comes_along() {
    let mut request = request("GET", "/admin/v1/tenants/acme", "");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    let (_, _, body) = send(request).await;
    assert!(body["name"].as_str().unwrap().contains(parent));
}

#[tokio::test]
async fn creation_answers_201_and_takes_both_spellings() {
    for body in [
        json!({"tenant": {"id": "acme", "markup_ppm": 5, "allowed_models": ["a/b"], "rates": {"concurrency": "3"}}}),
        json!({"tenant": {"id": "acme", "markupPpm": "5", "allowedModels": ["a/b"], "rates": {"concurrency": 3}}}),
    ] {
        let (status, answer) = call("POST", "/admin/v1/tenants", &body.to_string()).await;
        assert_eq!((status, &answer["tenant"]["id"]), (201, &json!("acme")));
        assert_eq!(answer["tenant"]["markup_ppm"], "5");
        assert_eq!(answer["tenant"]["rates"], json!({"concurrency": "3"}));
    }
}

#[tokio::test]
async fn deletion_answers_an_empty_object() {
    assert_eq!(call("DELETE", "/admin/v1/tenants/acme?revision=7", "").await, (200, json!({})));
}

#[tokio::test]
async fn lists_take_query_parameters() {
    let (status, body) = call("GET", "/admin/v1/tenants?page_size=2&pageToken=a%20b%2Bc", "").await;
    assert_eq!((status, &body["next_page_token"]), (200, &json!("a b+c")));
    assert_eq!(body["tenants"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn path_variables_join_the_body() {
    let (status, body) =
        call("POST", "/admin/v1/tenants/acme/credits", r#"{"usd": "5", "id": "acme"}"#).await;
    assert_eq!((status, &body["id"], &body["credits_left_usd"]), (200, &json!("acme"), &json!("5")));
}

#[tokio::test]
async fn a_patch_means_the_fields_it_names() {
    let paths =
        |names: &[&str]| Some(FieldMask { paths: names.iter().map(|name| name.to_string()).collect() });
    let asked = patched(&json!({"tenant": {"disabled": false, "markupPpm": null}, "revision": "9"})).await;
    assert_eq!((asked.id.as_str(), asked.revision), ("acme", 9));
    assert_eq!(asked.update_mask, paths(&["disabled", "markup_ppm"]));
    let asked = patched(&json!({"tenant": {"name": "n"}, "update_mask": "prepaid"})).await;
    assert_eq!(asked.update_mask, paths(&["prepaid"]));
}

#[tokio::test]
async fn a_resource_can_be_sent_back_as_it_was_read() {
    let (_, read) = call("GET", "/admin/v1/tenants/acme", "").await;
    let mask = patched(&json!({"tenant": read})).await.update_mask.unwrap();
    let own = [
        ["name", "disabled", "prepaid", "markup_ppm", "allowed_models"].as_slice(),
        &["budgets", "include_byok_in_budgets", "price_book"],
        &["allowed_providers", "ignored_providers", "zdr", "data_collection", "allowed_regions"],
    ];
    assert_eq!(mask.paths, own.concat());
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let tenants = "/admin/v1/tenants";
    for (verb, path, body, status, field, part) in [
        ("POST", tenants, "{\"tenant\":\n {,", 400, "body", "line 2 column 3"),
        ("POST", tenants, "[]", 400, "body", "must be an object"),
        ("POST", tenants, r#"{"tenants": {}}"#, 400, "tenants", "is not a field"),
        ("POST", tenants, r#"{"tenant": {"nmae": ""}}"#, 400, "tenant.nmae", "is not a field"),
        ("POST", tenants, r#"{"tenant": {"disabled": "no"}}"#, 400, "tenant.disabled", "true or false"),
        ("POST", tenants, r#"{"tenant": {"name": 1}}"#, 400, "tenant.name", "must be a string"),
        ("POST", tenants, r#"{"tenant": {"markup_ppm": -1}}"#, 400, "tenant.markup_ppm", "whole number"),
        ("POST", tenants, r#"{"tenant": {"markup_ppm": 1.5}}"#, 400, "tenant.markup_ppm", "whole number"),
        ("POST", tenants, r#"{"tenant": {"rates": []}}"#, 400, "tenant.rates", "must be an object"),
        (
            "POST",
            tenants,
            r#"{"tenant": {"allowed_models": [1]}}"#,
            400,
            "tenant.allowed_models[0]",
            "a string",
        ),
        ("POST", tenants, r#"{"tenant": {"allowed_models": "a"}}"#, 400, "tenant.allowed_models", "a list"),
        (
            "POST",
            tenants,
            r#"{"tenant": {"created_at": "soon"}}"#,
            400,
            "tenant.created_at",
            "must be a time",
        ),
        (
            "POST",
            tenants,
            r#"{"tenant": {"markup_ppm": 1, "markupPpm": 1}}"#,
            400,
            "tenant.markup_ppm",
            "twice",
        ),
        ("POST", "/admin/v1/tenants?x=1", "{}", 400, "x", "go into the body"),
        ("POST", "/admin/v1/tenants/acme/credits", r#"{"id": "other"}"#, 400, "id", "differs"),
        ("GET", "/admin/v1/tenants?size=1", "", 400, "size", "is not a query parameter"),
        ("GET", "/admin/v1/tenants?page_size=x", "", 400, "page_size", "whole number"),
        ("GET", "/admin/v1/tenants?page_size=1&page_size=2", "", 400, "page_size", "twice"),
        ("GET", "/admin/v1/tenants/acme?id=x", "", 400, "id", "in the path"),
        ("DELETE", "/admin/v1/tenants/acme", r#"{"revision": 1}"#, 400, "body", "takes no body"),
        ("PATCH", "/admin/v1/tenants/acme", r#"{"update_mask": 1}"#, 400, "update_mask", "field names"),
        ("PATCH", "/admin/v1/tenants/acme", r#"{"revision": 1}"#, 409, "revision", "as the service says"),
    ] {
        let (answered, answer) = call(verb, path, body).await;
        let error = &answer["error"];
        assert_eq!((answered, &error["code"]), (status, &json!(status)), "{path} {body} {answer}");
        assert_eq!(error["metadata"]["field"], field, "{path} {body} {answer}");
        assert!(error["message"].as_str().unwrap().contains(part), "{path} {body} {answer}");
    }
}

#[tokio::test]
async fn a_services_error_has_its_own_status() {
    let (status, body) = call("GET", "/admin/v1/tenants/gone", "").await;
    let error =
        json!({"code": 404, "message": "as the service says", "metadata": {"error_type": "not_found"}});
    assert_eq!((status, body), (404, json!({"error": error})));
}

#[tokio::test]
async fn internal_faults_are_masked() {
    let (status, body) = call("GET", "/admin/v1/tenants/broken", "").await;
    assert_eq!((status, &body["error"]["message"]), (500, &json!("internal error")));
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist() {
    for path in [
        "/admin/v1",
        "/admin/v1/tenants/",
        "/admin/v1/secrets",
        "/nothing",
        "/switchyard.v1.LeaseService/Borrow",
    ] {
        let (status, body) = call("GET", path, "").await;
        assert_eq!((status, &body["error"]["metadata"]["error_type"]), (404, &json!("not_found")), "{path}");
    }
    let (status, headers, _) = send(request("PUT", "/admin/v1/tenants", "{}")).await;
    assert_eq!((status.as_u16(), headers["allow"].to_str().unwrap()), (405, "GET, POST"));
}

#[tokio::test]
async fn a_call_without_a_token_is_refused_before_its_body_is_read() {
    let request = Request::post("/admin/v1/tenants").body(Body::from("{broken")).unwrap();
    let (status, _, body) = send(request).await;
    assert_eq!((status.as_u16(), &body["error"]["metadata"]["error_type"]), (401, &json!("authentication")));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let large = "x".repeat(rest::BODY_MOST + 1);
    let announced = request("POST", "/admin/v1/tenants", &large);
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(large)]);
    let chunked = request("POST", "/admin/v1/tenants", "").map(|_| Body::from_stream(chunks));
    for request in [announced, chunked] {
        let (status, _, body) = send(request).await;
        assert_eq!(
            (status.as_u16(), &body["error"]["metadata"]["error_type"]),
            (413, &json!("payload_too_large"))
        );
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_501() {
    assert_eq!(call("GET", "/admin/v1/audit", "").await.0, 501);
}

#[tokio::test]
async fn grpc_shares_the_port() {
    let request = Request::post("/switchyard.v1.TenantService/DeleteTenant")
        .header("content-type", "application/grpc")
        .body(Body::from(vec![0u8; 5]))
        .unwrap();
    let port = rest::port(Routes::new(TenantServiceServer::new(Fake::default())));
    let body = port.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn the_front_page_and_the_description_need_no_token() {
    let port = rest::port(Routes::default());
    for (path, part) in [("/", "/admin/openapi.json"), ("/admin/openapi.json", "\"openapi\":\"3.1.0\"")] {
        let answer = port.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(std::str::from_utf8(&bytes).unwrap().contains(part), "{path}");
    }
}

#[test]
fn fleet_services_are_not_exposed() {
    let names: Vec<String> = rest::operations().iter().map(|operation| operation.name()).collect();
    assert!(names.contains(&"KeyService/CreateKey".to_owned()));
    for service in ["ConfigService", "LeaseService", "IngestService", "AccountService"] {
        assert!(!names.iter().any(|name| name.starts_with(service)), "{service}");
    }
}

#[test]
fn no_two_operations_share_a_method_and_path() {
    static TABLE: std::sync::LazyLock<Table> = std::sync::LazyLock::new(Table::build);
    for operation in rest::operations() {
        let path = operation.path().replace("=*/*", "").replace("{model}", "a/b");
        let path = if operation.path().contains("{id=*/*}") { path.replace("{id}", "a/b") } else { path };
        let path = path.replace(['{', '}'], "");
        let found =
            TABLE.find(&Method::from_bytes(operation.verb().as_str().as_bytes()).unwrap(), &path).unwrap();
        assert_eq!(found.operation.name(), operation.name());
    }
}
