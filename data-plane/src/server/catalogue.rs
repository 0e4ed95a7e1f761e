//! `/models`, `/providers` and their friends: the snapshot as whoever asks sees it. Without a key that is the operator's
//! public catalogue.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;
use switchyard_proto::clock;
use switchyard_proto::code::ErrorCode;

use crate::catalogue::query::Query;
use crate::catalogue::{self, Doing, Seen, Viewer};
use crate::config::snapshot::Endpoint;
use crate::error::RequestError;
use crate::identity::{self, Caller, IdentifyError};
use crate::server::listen::Peer;
use crate::server::routes::{Client, error_response, json_response};

/// All routes of the catalogue.
pub fn routes() -> Router<Arc<Client>> {
    Router::new()
        .route("/models", get(models))
        .route("/models/count", get(count))
        .route("/models/user", get(own_models))
        .route("/models/{name}", get(bare_model))
        .route("/models/{author}/{slug}", get(model))
        .route("/models/{author}/{slug}/endpoints", get(endpoints))
        .route("/model/{author}/{slug}", get(model))
        .route("/embeddings/models", get(embeddings))
        .route("/endpoints/zdr", get(zdr))
        .route("/providers", get(providers))
}

type Shared = State<Arc<Client>>;
type Bare = Result<Path<String>, PathRejection>;
type Full = Result<Path<(String, String)>, PathRejection>;
type Said = Result<Value, RequestError>;

async fn models(client: Shared, head: Parts) -> Response {
    let list = |viewer: &Viewer<'_>| Ok(catalogue::list(viewer, &query(&head)?, "/models"));
    answer(client, &head, Known::Maybe, list).await
}

async fn own_models(client: Shared, head: Parts) -> Response {
    let list = |viewer: &Viewer<'_>| Ok(catalogue::list(viewer, &query(&head)?, "/models/user"));
    answer(client, &head, Known::Surely, list).await
}

async fn count(client: Shared, head: Parts) -> Response {
    answer(client, &head, Known::Maybe, |viewer| Ok(catalogue::count(viewer, &query(&head)?))).await
}

async fn embeddings(client: Shared, head: Parts) -> Response {
    answer(client, &head, Known::Maybe, |viewer| Ok(catalogue::embeddings(viewer, &query(&head)?))).await
}

async fn bare_model(client: Shared, name: Bare, head: Parts) -> Response {
    let name = name.map(|Path(name)| name);
    answer(client, &head, Known::Maybe, |viewer| Ok(catalogue::one(viewer, &find(viewer, name)?))).await
}

async fn model(client: Shared, name: Full, head: Parts) -> Response {
    answer(client, &head, Known::Maybe, |viewer| Ok(catalogue::one(viewer, &find(viewer, full(name))?))).await
}

async fn endpoints(client: Shared, name: Full, head: Parts) -> Response {
    let list = |viewer: &Viewer<'_>| Ok(catalogue::endpoints(viewer, &find(viewer, full(name))?));
    answer(client, &head, Known::Maybe, list).await
}

async fn zdr(client: Shared, head: Parts) -> Response {
    answer(client, &head, Known::Maybe, |viewer| Ok(catalogue::zdr(viewer))).await
}

async fn providers(client: Shared, head: Parts) -> Response {
    answer(client, &head, Known::Maybe, |viewer| Ok(catalogue::providers(viewer))).await
}

fn query(head: &Parts) -> Result<Query, RequestError> {
    Query::parse(head.uri.query().unwrap_or_default())
}

fn full(name: Full) -> Result<String, PathRejection> {
    name.map(|Path((author, slug))| format!("{author}/{slug}"))
}

fn find<'a>(viewer: &Viewer<'a>, name: Result<String, PathRejection>) -> Result<Seen<'a>, RequestError> {
    let name = name.map_err(|_| RequestError::new(ErrorCode::InvalidRequest, "The path is not UTF-8."))?;
    let text = || format!("There is no model `{name}`.");
    viewer.model(&name).ok_or_else(|| RequestError::new(ErrorCode::NotFound, text()))
}

/// Whether a list is for callers alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Surely,
    Maybe,
}

async fn answer(
    State(client): Shared,
    head: &Parts,
    known: Known,
    say: impl FnOnce(&Viewer<'_>) -> Said,
) -> Response {
    match look(&client, head, known, say).await {
        Ok(value) => json_response(200, Bytes::from(value.to_string())),
        Err(error) => error_response(&error),
    }
}

async fn look(client: &Client, head: &Parts, known: Known, say: impl FnOnce(&Viewer<'_>) -> Said) -> Said {
    let pipeline = &client.pipeline;
    let config = pipeline.current()?;
    let caller: Option<Caller> = match identity::hash(&head.headers) {
        // An admin token is known to the control plane alone: it sees what everybody sees.
        Err(IdentifyError::Missing | IdentifyError::Management) if known == Known::Maybe => None,
        _ => {
            let address = head.extensions.get().map(|Peer(address)| address.ip());
            Some(pipeline.identify(&config, &head.headers, address).await?)
        }
    };
    let doing = |endpoint: &Endpoint| Doing {
        reading: pipeline.health.reading(&endpoint.model, &endpoint.id),
        fleet: pipeline.health.fleet(&endpoint.model, &endpoint.id),
    };
    say(&Viewer { config: &config, caller: caller.as_ref(), now: clock::now(), doing: &doing })
}
