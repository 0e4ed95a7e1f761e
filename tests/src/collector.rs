//! An OTLP collector in this process, which keeps every span that it is sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A listening collector; dropping it stops it.
#[derive(Debug)]
pub struct Collector {
    addr: SocketAddr,
    kept: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    task: JoinHandle<()>,
}

/// One span, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `service.name` of the process that made it.
    pub service: String,
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    /// Empty for a root.
    pub parent_id: String,
}

impl Collector {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        let kept: Arc<Mutex<Vec<ExportTraceServiceRequest>>> = Arc::default();
        let service = TraceServiceServer::new(Sink(kept.clone()));
        let serve = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        #[expect(clippy::disallowed_methods, reason = "the handle is kept and ends the task")]
        let task = tokio::spawn(async move { drop(serve.await) });
        Ok(Self { addr, kept, task })
    }

    /// For `SWITCHYARD_OTLP_ENDPOINT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Seen> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|resource| {
                let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
                let service =
                    attributes.filter(|attribute| attribute.key == "service.name").map(|attribute| {
                        format!("{:?}", attribute.value.as_ref().and_then(|value| value.value.as_ref()))
                    });
                let service: String = service.collect();
                resource
                    .scope_spans
                    .iter()
                    .flat_map(|scope| &scope.spans)
                    .map(move |span| seen(&service, span))
            })
            .collect()
    }

    /// All that was sent, printed: for a search.
    pub fn dump(&self) -> String {
        format!("{:?}", self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn seen(service: &str, span: &Span) -> Seen {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Seen {
        service: service.to_owned(),
        name: span.name.clone(),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_id: hex(&span.parent_span_id),
    }
}

struct Sink(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
