//! The OpenAPI document of the whole client API: data, held against the routes and against every answer by tests.

use axum::response::Response;
use bytes::Bytes;

use crate::server::routes::json_response;

/// The document: OpenAPI 3.1, as JSON.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub async fn serve() -> Response {
    json_response(200, Bytes::from_static(DOCUMENT.as_bytes()))
}
