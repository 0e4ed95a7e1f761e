//! A tenant's own API (`/key`, `/keys`, `/credits`, …): the control plane answers and authenticates; here only what is no key
//! at all is refused.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, request::Parts};
use http_body_util::{BodyExt, Limited};
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::GenerationId;
use tokio::time::timeout;

use crate::account::Forward;
use crate::error::RequestError;
use crate::identity;
use crate::server::routes::{Client, error_response, json_response};

/// Largest body of a forwarded call.
const MAX_BYTES: usize = 1 << 20;

/// All routes that are forwarded.
pub fn routes() -> Router<Arc<Client>> {
    Router::new()
        .route("/key", get(forward))
        .route("/auth/key", get(forward))
        .route("/keys", get(forward).post(forward))
        .route("/keys/{hash}", get(forward).patch(forward).delete(forward))
        .route("/credits", get(forward))
        .route("/generation", get(forward))
        .route("/generation/content", get(forward))
        .route("/activity", get(forward))
}

async fn forward(State(client): State<Arc<Client>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match pass_on(&client, &head, body).await {
        Ok((status, body)) => named(json_response(status, body)),
        Err(error) => error_response(&error),
    }
}

async fn pass_on(client: &Client, head: &Parts, body: Body) -> Result<(u16, Bytes), RequestError> {
    let key = identity::account_hash(&head.headers)?;
    if client.pipeline.tasks.is_closed() {
        let text = "This instance is stopping. Try again on another.";
        return Err(RequestError::new(ErrorCode::Draining, text));
    }
    let body = collect(client, body).await?;
    let path = head.uri.path();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let call = Forward {
        method: head.method.as_str(),
        path: path.strip_prefix("/v1").unwrap_or(path),
        query: head.uri.query().unwrap_or_default(),
        key: &key,
        body,
    };
    client.account.forward(call).await.map_err(|error| {
        let text = "The control plane cannot be asked at the moment. Try again shortly.";
        let refusal = RequestError::new(error.code(), text);
        RequestError { source: Some(error.into()), ..refusal }
    })
}

async fn collect(client: &Client, body: Body) -> Result<Bytes, RequestError> {
    let patience = client.pipeline.settings.requests.read_timeout;
    match timeout(patience, Limited::new(body, MAX_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => {
            let text = "The request body is larger than 1 MiB, or broke off.";
            Err(RequestError::new(ErrorCode::PayloadTooLarge, text))
        }
        Err(_) => {
            let text = "The request body did not arrive in time.";
            Err(RequestError::new(ErrorCode::RequestTimeout, text))
        }
    }
}

/// Every answer has an id that a log can be asked for.
fn named(mut response: Response) -> Response {
    if let Ok(id) = HeaderValue::from_str(&GenerationId::generate().to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
