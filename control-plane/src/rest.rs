//! The admin API as JSON over HTTP: the same gRPC services, by the paths that their protos name.
//!
//! Nothing here knows a noun: routes, fields and documentation come from the descriptors, and every call goes
//! through the gRPC service in this process, which authenticates and authorises it. `app` puts [`router`] on the admin port.

mod body;
mod call;
pub mod csv;
mod decode;
mod docs;
mod encode;
mod fault;
mod mask;
mod openapi;
mod operation;
mod page;
mod query;
mod rows;
mod template;

use std::sync::{Arc, LazyLock};

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{Method, Request, StatusCode, Uri, header};
use prost_reflect::DynamicMessage;
use switchyard_proto::code::ErrorCode;
use tonic::service::Routes;

use crate::rest::{
    fault::Fault,
    operation::{Found, Table},
    rows::Rows,
};

pub use crate::rest::{openapi::document, operation::Operation};

/// Most bytes of a request body.
pub const BODY_MOST: usize = 10 << 20;

static TABLE: LazyLock<Table> = LazyLock::new(Table::build);

/// Every RPC that has a REST path, in the order of the protos.
pub fn operations() -> &'static [Operation] {
    TABLE.operations()
}

/// The whole admin port: gRPC calls go to `routes`, everything else is [`router`]'s or not found.
pub fn port(routes: Routes) -> axum::Router {
    let fallback = routes.clone();
    router(routes).fallback(move |request: Request<Body>| other(fallback.clone(), request))
}

/// REST, its documentation and the front page, without the gRPC services themselves.
pub fn router(routes: Routes) -> axum::Router {
    axum::Router::new()
        .route("/", get(page::front))
        .route("/admin/openapi.json", get(async || Json(openapi::document())))
        .route("/admin/{*path}", any(answer))
        .with_state(Arc::new(routes))
}

/// What is not REST: a gRPC call, or a path that does not exist.
async fn other(mut routes: Routes, request: Request<Body>) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
        let answer = tower::Service::call(&mut routes, request).await;
        return answer.unwrap_or_else(|never| match never {}).map(Body::new);
    }
    Fault::nothing_here().into_response()
}

async fn answer(State(routes): State<Arc<Routes>>, request: Request<Body>) -> Response {
    match transcode(&routes, request).await {
        Ok(response) => response,
        Err(fault) => fault.into_response(),
    }
}

/// One REST request as one gRPC call.
async fn transcode(routes: &Routes, request: Request<Body>) -> Result<Response, Fault> {
    let (parts, body) = request.into_parts();
    let found = find(&parts.method, &parts.uri)?;
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return Err(Fault::new(
            ErrorCode::Authentication,
            "an admin token is needed: `authorization: Bearer sy-admin-v1-…`",
        ));
    }
    let body = body::read(&parts.headers, body).await?;
    let message = message(&found, parts.uri.query(), &body)?;
    if let Some(rows) = Rows::wanted(found.operation, &parts.headers) {
        return rows.answer(routes.clone(), found.operation, &parts.headers, message).await;
    }
    let reply = call::unary(routes.clone(), found.operation, &parts.headers, &message).await?;
    Ok((found.operation.success(), Json(encode::json(&reply)?)).into_response())
}

fn find(verb: &Method, uri: &Uri) -> Result<Found, Fault> {
    // The body of an answer to HEAD is cut by the server.
    let verb = if verb == Method::HEAD { &Method::GET } else { verb };
    TABLE.find(verb, uri.path())
}

/// The RPC's request message, from the body, the path and the query.
fn message(found: &Found, query: Option<&str>, body: &[u8]) -> Result<DynamicMessage, Fault> {
    let operation = found.operation;
    let body = body::parse(operation, body)?;
    let mut message = decode::message(&operation.input(), &body, "")?;
    mask::fill(operation, &body, &mut message);
    for (field, value) in &found.variables {
        decode::path_variable(&mut message, field, value)?;
    }
    query::apply(operation, query.unwrap_or_default(), &mut message)?;
    Ok(message)
}

impl Operation {
    /// The HTTP status of a call that worked.
    fn success(&self) -> StatusCode {
        if self.creates() { StatusCode::CREATED } else { StatusCode::OK }
    }
}

#[cfg(test)]
mod tests;
