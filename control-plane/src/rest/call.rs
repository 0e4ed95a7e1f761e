//! One unary gRPC call to a service in this process.
//!
//! The services see what they would see from the network: token and trace context come along as metadata.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Request, header};
use http_body_util::{BodyExt, Full};
use prost::Message;
use prost_reflect::DynamicMessage;
use switchyard_proto::code::ErrorCode;
use tonic::{Status, service::Routes};
use tower::ServiceExt;

use crate::rest::{fault::Fault, operation::Operation};

/// Headers that a service may look at.
const FORWARDED: [HeaderName; 3] =
    [header::AUTHORIZATION, HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];

/// Flag and length before a gRPC message.
const PREFIX_BYTES: usize = 5;

/// Calls the operation's RPC.
pub(super) async fn unary(
    routes: Routes,
    operation: &Operation,
    headers: &HeaderMap,
    message: &DynamicMessage,
) -> Result<DynamicMessage, Fault> {
    let request = request(operation, headers, message);
    let answer = routes.oneshot(request).await.unwrap_or_else(|never| match never {});
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|status| Fault::from_status(&status))?;
    // An error without a message comes as "trailers only": in the headers.
    let status =
        body.trailers().and_then(Status::from_header_map).or_else(|| Status::from_header_map(&parts.headers));
    match status {
        Some(status) if status.code() == tonic::Code::Ok => reply(operation, body.to_bytes()),
        Some(status) => Err(Fault::from_status(&status)),
        None => Err(broken()),
    }
}

fn request(operation: &Operation, headers: &HeaderMap, message: &DynamicMessage) -> Request<Full<Bytes>> {
    let mut request = Request::post(operation.grpc_path())
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(frame(message)))
        .expect("an RPC's name is a path");
    for name in FORWARDED {
        for value in headers.get_all(&name) {
            request.headers_mut().append(name.clone(), value.clone());
        }
    }
    request
}

fn frame(message: &DynamicMessage) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(
        u32::try_from(length).expect("a message is no larger than the body it came in, a few times"),
    );
    message.encode(&mut frame).expect("the buffer grows");
    frame.freeze()
}

fn reply(operation: &Operation, body: Bytes) -> Result<DynamicMessage, Fault> {
    match body.split_first_chunk::<PREFIX_BYTES>() {
        Some(([0, length @ ..], message)) if u32::from_be_bytes(*length) as usize == message.len() => {
            DynamicMessage::decode(operation.rpc().output(), message).map_err(|_| broken())
        }
        _ => Err(broken()),
    }
}

/// An answer that is not as the protos say: a fault of ours.
pub(super) fn broken() -> Fault {
    Fault::new(ErrorCode::Server, "internal error")
}
