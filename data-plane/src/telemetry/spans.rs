//! Spans of sampled requests. A request that is not sampled makes none.
//!
//! Attribute names follow OpenTelemetry's GenAI conventions, which are still moving: they are all in this file.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue, global};

use crate::pipeline::client::Client;
use crate::pipeline::trail::Trail;

const TRACER: &str = "switchyard.data-plane";

/// The span of one request, from its head to its ending.
#[derive(Debug)]
pub struct RequestSpan {
    context: Context,
}

impl RequestSpan {
    /// Begins a span if this request is sampled: by its caller, else by the process's own ratio.
    /// `name` is the span's.
    pub fn begin(client: &Client, name: &'static str) -> Option<Self> {
        let parent = parent(client).unwrap_or_default();
        let tracer = global::tracer(TRACER);
        let span = tracer.span_builder(name).with_kind(SpanKind::Server).start_with_context(&tracer, &parent);
        // Without an exporter, and for requests that are not sampled, nothing is recorded.
        span.is_recording().then(|| Self { context: parent.with_span(span) })
    }

    /// W3C trace context that names this span as the parent.
    pub fn traceparent(&self) -> String {
        let span = self.context.span();
        let context = span.span_context();
        format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
    }

    /// The trace's id.
    pub fn trace_id(&self) -> String {
        self.context.span().span_context().trace_id().to_string()
    }

    /// Ends the span, with one child for each attempt.
    pub fn end(self, trail: &Trail) {
        let began = SystemTime::from(trail.admitted_at);
        for attempt in &trail.attempts {
            let began = began + attempt.started.duration_since(trail.started);
            self.attempt(attempt, began, trail.surface.operation().name());
        }
        let span = self.context.span();
        for attribute in attributes(trail) {
            span.set_attribute(attribute);
        }
        if let Some(code) = trail.error {
            span.set_status(Status::error(code.error_type()));
        }
        span.end();
    }

    fn attempt(
        &self,
        attempt: &crate::pipeline::trail::AttemptNote,
        began: SystemTime,
        operation: &'static str,
    ) {
        let tracer = global::tracer(TRACER);
        let endpoint = &attempt.endpoint;
        let mut span = tracer
            .span_builder(format!("{operation} {}", endpoint.config.upstream_id))
            .with_kind(SpanKind::Client)
            .with_start_time(began)
            .with_attributes([
                KeyValue::new("gen_ai.operation.name", operation),
                KeyValue::new("gen_ai.provider.name", endpoint.provider.id.to_string()),
                KeyValue::new("gen_ai.request.model", endpoint.config.upstream_id.clone()),
                KeyValue::new("switchyard.endpoint.id", endpoint.full_id()),
                KeyValue::new("switchyard.attempt.number", i64::from(attempt.number)),
                KeyValue::new("switchyard.attempt.outcome", attempt.outcome),
                KeyValue::new("http.response.status_code", i64::from(attempt.status)),
            ])
            .start_with_context(&tracer, &self.context);
        if let Some(code) = attempt.code {
            span.set_status(Status::error(code.error_type()));
        }
        span.end_with_timestamp(began + attempt.duration);
    }
}

fn attributes(trail: &Trail) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("switchyard.generation.id", trail.id.to_string()),
        KeyValue::new("gen_ai.request.model", trail.requested_model.clone()),
        KeyValue::new("switchyard.config.revision", i64::try_from(trail.revision.number).unwrap_or(i64::MAX)),
        KeyValue::new("switchyard.attempts", i64::try_from(trail.attempts.len()).unwrap_or(i64::MAX)),
    ];
    if let Some(caller) = &trail.caller {
        attributes.push(KeyValue::new("tenant.id", caller.tenant.id.to_string()));
        attributes.push(KeyValue::new("key.id", caller.key.id.to_string()));
    }
    for (name, value) in &trail.labels {
        attributes.push(KeyValue::new(name.clone(), value.clone()));
    }
    if !trail.client.app_url.is_empty() {
        attributes.push(KeyValue::new("http.request.header.referer", trail.client.app_url.clone()));
    }
    if !trail.preset.is_empty() {
        attributes.push(KeyValue::new("switchyard.preset.id", trail.preset.clone()));
    }
    if let Some(first) = trail.first_content {
        attributes.push(KeyValue::new("switchyard.first_content_ms", millis(first)));
    }
    if let Some(answer) = &trail.answer {
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("gen_ai.usage.input_tokens", count(answer.tokens.prompt)));
        attributes.push(KeyValue::new("gen_ai.usage.output_tokens", count(answer.tokens.completion)));
        if let Some(finish) = &answer.finish {
            attributes.push(KeyValue::new("gen_ai.response.finish_reasons", finish.reason.as_str()));
        }
    }
    attributes
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The caller's span as a remote parent; none if the header is absent or not W3C's.
fn parent(client: &Client) -> Option<Context> {
    let mut parts = client.traceparent.split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1),
        true,
        client.tracestate.parse::<TraceState>().unwrap_or_default(),
    );
    context.is_valid().then(|| Context::new().with_remote_span_context(context))
}
