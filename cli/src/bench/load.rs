//! Two ways of putting load on a target: a closed loop for throughput, an open one for latency.
//!
//! In the closed loop each connection sends its next request when the last is answered. In the open one requests
//! are due at fixed times whatever the answers do, and a latency counts from the time its request was *due*: a
//! target that stalls cannot slow the questions down and hide its stall (coordinated omission).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bench::connection::{Connection, Exchange, LoadError};
use crate::bench::target::{Shot, TargetSpec};

/// What a stretch of closed-loop load did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub requests: u64,
    pub pieces: u64,
    pub took: Duration,
}

/// What a stretch of open-loop load saw, counted from the times the requests were due.
#[derive(Debug, Default)]
pub struct Latencies {
    pub to_first_content: Vec<Duration>,
    pub to_end: Vec<Duration>,
    /// How late this process itself was: large values tell of a disturbed machine, not of a slow target.
    pub late: Vec<Duration>,
}

/// Open connections to one target, and the request they send.
pub struct Fleet {
    connections: Vec<Connection>,
    request: Request<Full<Bytes>>,
}

impl Fleet {
    pub async fn connect(target: &TargetSpec, shot: Shot, size: usize) -> Result<Self, LoadError> {
        let mut connections = Vec::with_capacity(size);
        for _ in 0..size {
            connections.push(Connection::open(target).await?);
        }
        Ok(Self { connections, request: target.request(shot.body(&target.model_prefix)) })
    }

    /// All connections send for `time`; what was begun then is answered and counted.
    pub async fn closed(&mut self, time: Duration) -> Result<Tally, LoadError> {
        self.each(time, Duration::ZERO).await
    }

    /// Like [`Fleet::closed`], the connections starting evenly over `spread`: for streams that beat in time.
    pub async fn each(&mut self, time: Duration, spread: Duration) -> Result<Tally, LoadError> {
        let started = Instant::now();
        let deadline = started + time;
        let size = u32::try_from(self.connections.len()).unwrap_or(u32::MAX).max(1);
        let mut loops = JoinSet::new();
        for (i, connection) in (0..).zip(self.connections.drain(..)) {
            let start = tokio::time::Instant::now() + spread / size * i;
            loops.spawn(closed_loop(connection, self.request.clone(), start, deadline));
        }
        let mut tally = Tally::default();
        while let Some(done) = loops.join_next().await {
            let (connection, one) = done.expect("the loops do not panic")?;
            self.connections.push(connection);
            tally.requests += one.requests;
            tally.pieces += one.pieces;
        }
        Ok(Tally { took: started.elapsed(), ..tally })
    }

    /// Sends `rate` requests per second for `time`, each on a free connection; without one it waits, and that counts.
    pub async fn open(&mut self, rate: f64, time: Duration) -> Result<Latencies, LoadError> {
        let pool = Arc::new(Pool::new(self.connections.drain(..).collect()));
        let gap = Duration::from_secs_f64(1.0 / rate);
        let count = (time.as_secs_f64() * rate) as u32;
        let start = Instant::now() + gap;
        let mut calls = JoinSet::new();
        let mut latencies = Latencies::default();
        for i in 0..count {
            let due = start + gap * i;
            until(due).await;
            latencies.late.push(due.elapsed());
            calls.spawn(one_call(pool.clone(), self.request.clone(), due));
        }
        while let Some(done) = calls.join_next().await {
            let (due, exchange) = done.expect("the calls do not panic")?;
            latencies.to_end.push(exchange.ended - due);
            latencies.to_first_content.extend(exchange.first_content.map(|first| first - due));
        }
        self.connections = pool.take_all();
        Ok(latencies)
    }
}

async fn closed_loop(
    mut connection: Connection,
    request: Request<Full<Bytes>>,
    start: tokio::time::Instant,
    deadline: Instant,
) -> Result<(Connection, Tally), LoadError> {
    tokio::time::sleep_until(start).await;
    let mut tally = Tally::default();
    while Instant::now() < deadline {
        let exchange = connection.exchange(request.clone()).await?;
        tally.requests += 1;
        tally.pieces += exchange.pieces;
    }
    Ok((connection, tally))
}

async fn one_call(
    pool: Arc<Pool>,
    request: Request<Full<Bytes>>,
    due: Instant,
) -> Result<(Instant, Exchange), LoadError> {
    let _permit = pool.free.acquire().await.expect("the pool is never closed");
    let mut connection = pool.take().expect("there is one connection for each permit");
    let exchange = connection.exchange(request).await?;
    pool.give(connection);
    Ok((due, exchange))
}

/// Polls instead of sleeping: timers are a millisecond coarse, and a sleeping thread wakes late. Takes a core.
async fn until(due: Instant) {
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

struct Pool {
    free: Semaphore,
    connections: Mutex<Vec<Connection>>,
}

impl Pool {
    fn new(connections: Vec<Connection>) -> Self {
        Self { free: Semaphore::new(connections.len()), connections: Mutex::new(connections) }
    }

    fn take(&self) -> Option<Connection> {
        self.lock().pop()
    }

    fn give(&self, connection: Connection) {
        self.lock().push(connection);
    }

    fn take_all(&self) -> Vec<Connection> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
