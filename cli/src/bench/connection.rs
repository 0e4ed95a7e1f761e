//! One kept connection to a target: raw hyper, no pool.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bench::target::TargetSpec;
use crate::fault_lab::FIXED_WORD;

/// What one exchange brought.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// When the first content was read.
    pub first_content: Option<Instant>,
    pub ended: Instant,
    /// How many pieces of content were read.
    pub pieces: u64,
}

/// Why a target cannot be measured. The message names the target, never a header.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot connect to {target}")]
    Connect { target: String, source: std::io::Error },
    #[error("the exchange with {target} broke")]
    Exchange { target: String, source: hyper::Error },
    #[error("{target} answered {status}: {body}")]
    Status { target: String, status: http::StatusCode, body: String },
    #[error("{target} answered without the content asked for: {body}")]
    Content { target: String, body: String },
    #[error("{target} did not answer within {patience:?}")]
    Silent { target: String, patience: Duration },
}

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of an unexpected body an error shows.
const SHOWN_BYTES: usize = 400;

pub struct Connection {
    target: String,
    sender: SendRequest<Full<Bytes>>,
    _task: JoinSet<()>,
}

impl Connection {
    pub async fn open(target: &TargetSpec) -> Result<Self, LoadError> {
        let failed = |source| LoadError::Connect { target: target.name.clone(), source };
        let stream = TcpStream::connect(target.addr).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| LoadError::Exchange { target: target.name.clone(), source })?;
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Ok(Self { target: target.name.clone(), sender, _task: task })
    }

    /// Sends and reads the whole answer, which must be a 200 that holds the fault lab's word.
    pub async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Exchange, LoadError> {
        match tokio::time::timeout(PATIENCE, self.exchange_unbounded(request)).await {
            Ok(exchange) => exchange,
            Err(_) => Err(LoadError::Silent { target: self.target.clone(), patience: PATIENCE }),
        }
    }

    async fn exchange_unbounded(&mut self, request: Request<Full<Bytes>>) -> Result<Exchange, LoadError> {
        let broke = |source| LoadError::Exchange { target: self.target.clone(), source };
        self.sender.ready().await.map_err(broke)?;
        let answer = self.sender.send_request(request).await.map_err(broke)?;
        let (head, mut body) = answer.into_parts();
        let mut read = Read::default();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(broke)?.into_data() {
                read.take(&data);
            }
        }
        read.judge(&self.target, head.status)
    }
}

#[derive(Default)]
struct Read {
    first_content: Option<Instant>,
    pieces: u64,
    shown: Vec<u8>,
}

impl Read {
    /// Counts words by frame: the lab writes each event at once and no proxy here splits one.
    fn take(&mut self, data: &[u8]) {
        let word = FIXED_WORD.trim_end().as_bytes();
        let found = data.windows(word.len()).filter(|window| *window == word).count() as u64;
        if found > 0 && self.first_content.is_none() {
            self.first_content = Some(Instant::now());
        }
        self.pieces += found;
        let room = SHOWN_BYTES.saturating_sub(self.shown.len()).min(data.len());
        self.shown.extend_from_slice(&data[..room]);
    }

    fn judge(self, target: &str, status: http::StatusCode) -> Result<Exchange, LoadError> {
        let shown = || String::from_utf8_lossy(&self.shown).into_owned();
        if status != http::StatusCode::OK {
            return Err(LoadError::Status { target: target.to_owned(), status, body: shown() });
        }
        if self.pieces == 0 {
            return Err(LoadError::Content { target: target.to_owned(), body: shown() });
        }
        Ok(Exchange { first_content: self.first_content, ended: Instant::now(), pieces: self.pieces })
    }
}
