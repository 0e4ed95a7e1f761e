//! The one ending: the caller is told, the generation recorded, metrics and span closed. Exactly once per request.

use bytes::BytesMut;
use http::{HeaderValue, Response};
use switchyard_proto::clock;
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::GenerationId;
use switchyard_proto::v1::{GenerationRecord, TokenUsage};
use tokio::time::{Duration, Instant};

use crate::api::surface::Surface;
use crate::api::{AnswerFacts, ErrorBody};
use crate::error::{RequestError, Side};
use crate::model::request::ChatRequest;
use crate::pipeline::Pipeline;
use crate::pipeline::reply::{Reply, ReplyBody};
use crate::pipeline::trail::Trail;
use crate::pipeline::{decision, explain};
use crate::telemetry::record as telemetry;

/// How long a slow caller is waited for to take the last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Ends a request.
pub async fn finish(
    pipeline: &Pipeline,
    mut reply: Reply,
    mut trail: Trail,
    result: Result<(), RequestError>,
) {
    if let Err(error) = &result {
        trail.error = Some(error.code);
        log(error, &trail);
    }
    let governed = pipeline.settings.governance;
    if governed && is_to_be_recorded(pipeline, &trail) {
        let record = record(&trail, None);
        if let Err(error) = pipeline.journal.generation(&record, &trail.traceparent()) {
            tracing::error!(%error, generation.id = %trail.id, "a generation could not be recorded");
        }
    }
    if governed {
        telemetry::request(&trail);
    }
    if let Err(error) = result {
        tell(&mut reply, &error, &trail).await;
    }
    if let Some(span) = trail.span.take() {
        span.end(&trail);
    }
}

/// Whether a generation is still to be written: of every request that was reserved for, and of callers that are known.
/// Requests without an attempt are recorded while there are not too many of them.
fn is_to_be_recorded(pipeline: &Pipeline, trail: &Trail) -> bool {
    if trail.is_recorded || trail.caller.is_none() {
        return false;
    }
    let is_kept = trail.cache_hit.is_some() && pipeline.journal.has_plenty();
    let is_recorded =
        trail.reserved > 0 || is_kept || (pipeline.journal.has_plenty() && pipeline.refusals.take());
    if !is_recorded {
        telemetry::unrecorded();
    }
    is_recorded
}

/// Sends an error: as status and body, or in-band once the stream has begun.
async fn tell(reply: &mut Reply, error: &RequestError, trail: &Trail) {
    let status = error.code.status();
    // A fault of ours is told without detail.
    let tells = trail.wants_metadata && error.code != ErrorCode::Server;
    let routing = tells.then(|| explain::metadata(trail));
    let body = ErrorBody {
        code: error.code,
        status: status.as_u16(),
        message: &error.public,
        provider: error.provider.as_deref(),
        provider_code: error.provider_code.as_deref(),
        metadata: Some(&error.metadata),
        routing: routing.as_ref(),
    };
    if reply.has_begun() {
        let mut out = BytesMut::new();
        let encoder = reply.encoder.take();
        let mut encoder = encoder.unwrap_or_else(|| trail.surface.stream(&facts(trail), &trail.echo));
        encoder.fail(&body, &mut out);
        // Who did not hear of the failure must not take the stream for whole.
        if reply.send(out.freeze(), Instant::now() + LAST_WORDS).await.is_ok() {
            reply.end();
        }
        return;
    }
    reply.header("x-switchyard-fault", error.side.as_str());
    let soon = (error.side == Side::Router && error.code.is_retryable()).then_some(Duration::from_secs(1));
    if let Some(after) = error.retry_after.or(soon) {
        reply.header("retry-after", &after.as_secs_f64().ceil().max(1.0).to_string());
    }
    reply.whole(status, trail.surface.encode_error(&body, &trail.id.to_string()));
}

fn facts(trail: &Trail) -> AnswerFacts {
    let endpoint = trail.last().map(|attempt| &attempt.endpoint);
    AnswerFacts {
        id: trail.id.to_string(),
        created: trail.created(),
        model: endpoint.map_or_else(|| trail.requested_model.clone(), |endpoint| endpoint.model.to_string()),
        provider: endpoint.map(|endpoint| endpoint.provider.display_name.clone()).unwrap_or_default(),
    }
}

/// Logged once, here: a fault of ours needs a person, the rest is everyday.
fn log(error: &RequestError, trail: &Trail) {
    let cause = error.source.as_ref().map(|source| source.to_string()).unwrap_or_default();
    match error.side {
        Side::Router if error.code == ErrorCode::Server => {
            tracing::error!(generation.id = %trail.id, error.code = error.code.error_type(), cause, "request failed");
        }
        Side::Router => {
            tracing::warn!(generation.id = %trail.id, error.code = error.code.error_type(), cause, "request refused");
        }
        Side::Client | Side::Provider => {
            tracing::debug!(generation.id = %trail.id, error.code = error.code.error_type(), "request failed");
        }
    }
}

/// The generation as it is remembered.
pub fn record(trail: &Trail, request: Option<&ChatRequest>) -> GenerationRecord {
    let last = trail.last();
    let endpoint = last.map(|attempt| &attempt.endpoint);
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let answer = trail.answer.as_ref();
    let finish = answer.and_then(|answer| answer.finish.as_ref());
    let hit = trail.cache_hit.as_ref();
    let session = match hit {
        Some(hit) => hit.session.clone(),
        None => request.and_then(|request| request.session_id.clone()),
    };
    let user = hit.map_or_else(|| request.and_then(|request| request.user.as_ref()), |hit| hit.user.as_ref());
    let served = endpoint.map(|endpoint| (endpoint.model.to_string(), endpoint.provider.id.to_string()));
    let served = served.or_else(|| hit.map(|hit| (hit.model.clone(), hit.provider.0.clone())));
    let (model, provider) = served.unwrap_or_default();
    GenerationRecord {
        id: trail.id.to_bytes(),
        instance: String::new(),
        region: String::new(),
        tenant: trail.caller.as_ref().map(|caller| caller.tenant.id.to_string()).unwrap_or_default(),
        key: trail.caller.as_ref().map(|caller| caller.key.id.to_string()).unwrap_or_default(),
        requested_model: trail.requested_model.clone(),
        model,
        provider,
        upstream_id: endpoint.map(|endpoint| endpoint.config.upstream_id.clone()).unwrap_or_default(),
        surface: trail.surface.name().to_owned(),
        streamed: trail.streamed,
        cancelled: trail.cancelled,
        status: trail.error.map_or(200, |code| u32::from(code.status().as_u16())),
        error_type: trail.error.map(|code| code.error_type().to_owned()).unwrap_or_default(),
        finish_reason: finish.map(|finish| finish.reason.as_str().to_owned()).unwrap_or_default(),
        native_finish_reason: finish.and_then(|finish| finish.native.clone()).unwrap_or_default(),
        tokens: Some(answer.map_or_else(TokenUsage::default, |answer| answer.tokens)),
        cost_nano: trail.cost().total.0,
        charge_nano: trail.charged().0,
        attempts: u32::try_from(trail.attempts.len()).unwrap_or(u32::MAX),
        admitted_at: Some(clock::to_timestamp(trail.admitted_at)),
        first_content_ms: trail.first_content.map_or(0, millis),
        duration_ms: millis(trail.started.elapsed()),
        config_revision: Some(trail.revision.to_proto()),
        user: text(user),
        session: session.unwrap_or_else(|| trail.client.session.clone()),
        app_title: trail.client.app_title.clone(),
        app_url: trail.client.app_url.clone(),
        user_agent: trail.client.user_agent.clone(),
        trace_id: trail.trace_id(),
        decision: decision::kept(trail),
        preset: trail.preset.clone(),
        cache_source: hit.map(|hit| hit.source.to_string()).unwrap_or_default(),
    }
}

/// The answer where a request's task vanished without one: the process is being torn down.
pub fn lost(surface: Surface, id: GenerationId) -> Response<ReplyBody> {
    let (error, id) = (RequestError::internal("a request's task vanished"), id.to_string());
    let body = ErrorBody {
        code: error.code,
        status: error.code.status().as_u16(),
        message: &error.public,
        provider: None,
        provider_code: None,
        metadata: None,
        routing: None,
    };
    let mut response = Response::new(ReplyBody::Whole(Some(surface.encode_error(&body, &id))));
    *response.status_mut() = error.code.status();
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    for name in surface.id_headers() {
        response.headers_mut().insert(*name, HeaderValue::from_str(&id).expect("ids are ASCII"));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_was_lost_has_its_surfaces_form_and_an_id() {
        for (surface, path, id_header) in [
            (Surface::ChatCompletions, "/error/metadata/error_type", "x-request-id"),
            (Surface::Responses, "/error/metadata/error_type", "x-request-id"),
            (Surface::Messages, "/error/error_type", "request-id"),
        ] {
            let id = GenerationId::generate();
            let lost = lost(surface, id);
            assert_eq!(lost.status(), 500);
            assert_eq!(lost.headers()[id_header], id.to_string());
            let body = lost.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body.pointer(path), Some(&json!("server")), "{body}");
        }
    }
}
