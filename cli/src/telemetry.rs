//! The process's logs, traces and metrics: set up once, before anything runs.
//!
//! Logs go to stderr. Traces go to an OTLP collector where one is set; the W3C propagator is installed either
//! way, so that a caller's trace passes through. Metrics are recorded here and shown by the planes on their ops
//! ports. What is logged, traced and counted is the planes' business.

use std::{io::IsTerminal, thread, time::Duration};

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use serde::Deserialize;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::settings::Format;

/// Seconds, from what a cache answers in to the longest answer of a slow model.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// Between two times that recorded values are moved into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// How long the last spans may take to be sent.
const FLUSH: Duration = Duration::from_secs(3);

/// Settings of section `log`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// In the form of `RUST_LOG`.
    pub filter: String,
    pub format: Format,
    /// OTLP over gRPC; empty: traces go nowhere.
    pub otlp_endpoint: String,
    /// Share of traces that begin here and are kept.
    pub otlp_sample_ratio: f64,
}

/// What was set up, and must be shut down for the last spans to arrive.
pub struct Telemetry {
    tracing: Option<SdkTracerProvider>,
    metrics: PrometheusHandle,
}

impl Telemetry {
    /// Sets up the process, which traces name as `service`. Needs a tokio runtime, and to be called once.
    ///
    /// # Errors
    /// When it was called before, or the exporter's address is unusable.
    pub fn start(service: &'static str, log: &Log) -> anyhow::Result<Self> {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let tracing = if log.otlp_endpoint.is_empty() { None } else { Some(exporting(service, log)?) };
        subscribe(log, tracing.as_ref())?;
        Ok(Self { tracing, metrics: record()? })
    }

    /// Shows all metrics in Prometheus' text form.
    pub fn metrics(&self) -> PrometheusHandle {
        self.metrics.clone()
    }

    /// Sends what has not been sent yet.
    pub fn shutdown(self) {
        let Some(provider) = self.tracing else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

fn subscribe(log: &Log, provider: Option<&SdkTracerProvider>) -> anyhow::Result<()> {
    let traces = provider.map(|provider| {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("switchyard"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        layer.with_filter(filter_fn(is_ours))
    });
    tracing_subscriber::registry()
        .with(lines(log)?)
        .with(traces)
        .try_init()
        .context("logs are set up already")
}

fn lines<S>(log: &Log) -> anyhow::Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let filter: EnvFilter =
        log.filter.parse().with_context(|| format!("`{}` is no log filter", log.filter))?;
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    Ok(match log.format {
        Format::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
        Format::Text => {
            layer.compact().with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed()
        }
    })
}

/// Spans of this project only: the exporter's own HTTP/2 traffic would trace itself.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("switchyard")
}

fn exporting(service: &'static str, log: &Log) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&log.otlp_endpoint)
        .with_timeout(FLUSH)
        .build()
        .with_context(|| format!("cannot send traces to `{}`", log.otlp_endpoint))?;
    let instance = KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource =
        Resource::builder().with_service_name(service).with_attributes([instance, version]).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(log.otlp_sample_ratio)));
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    // For spans that are made without `tracing`, on the request path.
    global::set_tracer_provider(provider.clone());
    Ok(provider)
}

fn record() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
        .context("the buckets are not empty")?
        .install_recorder()
        .context("metrics are set up already")?;
    let upkeep = handle.clone();
    thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(move || {
        loop {
            thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    })?;
    Ok(handle)
}
