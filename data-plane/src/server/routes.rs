//! Every route of the client port: inference here, the catalogue and accounts in the files beside. `/v1` and `/api/v1` are
//! the same; `openapi` describes all of them, and a test holds it against this.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Map, json};
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::GenerationId;

use crate::account::AccountApi;
use crate::api::ErrorBody;
use crate::api::surface::Surface;
use crate::error::RequestError;
use crate::pipeline::{Inbound, Pipeline};
use crate::server::later;
use crate::server::listen::Peer;
use crate::server::{account, catalogue, openapi};

/// What the routes of one request thread share.
pub struct Client {
    pub pipeline: Arc<Pipeline>,
    pub account: Arc<AccountApi>,
    /// Requests under way at once on this thread.
    pub most: usize,
}

impl Client {
    /// The answer to a new request while there is no room for it, or no time.
    fn refuses(&self, surface: Surface) -> Option<Response> {
        let (code, text) = match (self.pipeline.tasks.is_closed(), self.pipeline.tasks.len() >= self.most) {
            (true, _) => (ErrorCode::Draining, "This instance is stopping. Try again on another."),
            (false, true) => (
                ErrorCode::Overloaded,
                "This instance carries as many requests as it can. Try again shortly.",
            ),
            (false, false) => return None,
        };
        Some(refuse_on(surface, code, text))
    }
}

/// The client port's router.
pub fn router(client: Arc<Client>) -> Router {
    let api = Router::new()
        .route("/messages/count_tokens", post(count_tokens))
        .route("/route/explain", post(explain))
        .route("/openapi.json", get(openapi::serve))
        .merge(catalogue::routes())
        .merge(account::routes());
    let api = Surface::ALL.into_iter().fold(api, |api, surface| {
        let call = async move |client: State<Arc<Client>>, peer, headers, body| {
            chat(surface, client, peer, headers, body).await
        };
        api.route(surface.path(), post(call))
    });
    let api = later::V1.iter().fold(api, |api, path| api.route(path, any(later)));
    let top = later::TOP.iter().fold(Router::new(), |top, path| top.route(path, any(later)));
    top.route("/", get(index))
        .nest("/v1", api.clone())
        .nest("/api/v1", api)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(client)
}

async fn chat(
    surface: Surface,
    State(client): State<Arc<Client>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Some(refused) = client.refuses(surface) {
        return refused;
    }
    let address = peer.map(|Extension(Peer(address))| address.ip());
    client.pipeline.clone().chat(surface, Inbound { head: headers, body, address }).await.map(Body::new)
}

/// The plan of a chat request that is not sent.
async fn explain(
    State(client): State<Arc<Client>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let address = peer.map(|Extension(Peer(address))| address.ip());
    match client.pipeline.explain(Inbound { head: headers, body, address }).await {
        Ok(plan) => json_response(200, Bytes::from(plan.to_string())),
        Err(error) => error_response(&error),
    }
}

/// How long a prompt in Anthropic's dialect is.
async fn count_tokens(
    State(client): State<Arc<Client>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if let Some(refused) = client.refuses(Surface::Messages) {
        return refused;
    }
    let address = peer.map(|Extension(Peer(address))| address.ip());
    match client.pipeline.count(Inbound { head: headers, body, address }).await {
        Ok(count) => with_id(Surface::Messages, &GenerationId::generate(), json_response(200, count)),
        Err(error) => error_response_on(Surface::Messages, &error),
    }
}

/// What is not there yet, whatever it is called with.
async fn later(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    let path = request.uri().path();
    refuse_on(Surface::of_path(path), ErrorCode::NotSupported, &format!("`{path}` is not supported yet."))
}

async fn unknown(request: Request) -> Response {
    let text =
        format!("There is no `{} {}`. `GET /` lists what there is.", request.method(), request.uri().path());
    refuse_on(Surface::of_path(request.uri().path()), ErrorCode::NotFound, &text)
}

async fn wrong_method(request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    let text = format!("`{}` cannot be called with {}.", request.uri().path(), request.method());
    refuse_on(Surface::of_path(request.uri().path()), ErrorCode::MethodNotAllowed, &text)
}

/// Browsers ask before they send a key; every origin may, since the key is what counts.
fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PATCH, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*, authorization"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn index() -> Response {
    Json(json!({
        "name": "switchyard",
        "version": env!("CARGO_PKG_VERSION"),
        "base_url": "/api/v1",
        "links": {
            "chat": "/api/v1/chat/completions",
            "responses": "/api/v1/responses",
            "messages": "/api/v1/messages",
            "embeddings": "/api/v1/embeddings",
            "rerank": "/api/v1/rerank",
            "models": "/api/v1/models",
            "key": "/api/v1/key",
            "openapi": "/api/v1/openapi.json",
        },
    }))
    .into_response()
}

/// An error's answer in OpenRouter's dialect.
pub fn refuse(code: ErrorCode, text: &str) -> Response {
    error_response(&RequestError::new(code, text))
}

fn refuse_on(surface: Surface, code: ErrorCode, text: &str) -> Response {
    error_response_on(surface, &RequestError::new(code, text))
}

/// An error of a request that never reached the pipeline.
pub fn error_response(error: &RequestError) -> Response {
    error_response_on(Surface::ChatCompletions, error)
}

fn error_response_on(surface: Surface, error: &RequestError) -> Response {
    let id = GenerationId::generate();
    let body = ErrorBody {
        code: error.code,
        status: error.code.status().as_u16(),
        message: &error.public,
        provider: None,
        provider_code: None,
        metadata: Some(&error.metadata).filter(|metadata: &&Map<_, _>| !metadata.is_empty()),
        routing: None,
    };
    let body = surface.encode_error(&body, &id.to_string());
    let mut response = with_id(surface, &id, json_response(error.code.status().as_u16(), body));
    if error.code.is_retryable() {
        response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
    }
    response
}

/// Adds a request's id to its answer's head.
fn with_id(surface: Surface, id: &GenerationId, mut response: Response) -> Response {
    if let Ok(id) = http::HeaderValue::from_str(&id.to_string()) {
        for name in surface.id_headers() {
            response.headers_mut().insert(*name, id.clone());
        }
    }
    response
}

/// JSON that any origin's pages may read.
pub fn json_response(status: u16, body: Bytes) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (status, headers, body).into_response()
}
