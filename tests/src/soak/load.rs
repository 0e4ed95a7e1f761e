//! Callers: two hundred at once, who want streams and whole answers, of good providers and bad ones, and leave at times.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::soak::connection::{Answer, Connection};
use crate::soak::furnish::{Furniture, GROUPS};
use crate::soak::plan::{CALLERS, PLANES, Plan, TAIL};
use crate::soak::system::System;

/// A caller's calls begin this far apart, unless the answers take longer.
const PERIOD: Duration = Duration::from_millis(400);
/// A caller gives up after this: a little more than a request may take.
const PATIENCE: Duration = Duration::from_millis(3_500);
/// A data plane that did not answer a caller is left alone by all of them for so long, as by a load balancer.
const AVOIDED: Duration = Duration::from_secs(2);
/// A group takes its next key after so many refusals in a row.
const ENOUGH: usize = 12;

/// One way of calling, and how often it is drawn.
struct Shot {
    weight: u32,
    model: &'static str,
    stream: bool,
    leaves: Leaves,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Never,
    /// When the first piece has come.
    AtFirst,
    /// After a moment, whatever has come.
    Soon,
}

const fn shot(weight: u32, model: &'static str, stream: bool, leaves: Leaves) -> Shot {
    Shot { weight, model, stream, leaves }
}

#[rustfmt::skip] // A table.
const SHOTS: &[Shot] = &[
    shot(40, "soak/fine", false, Leaves::Never),
    shot(26, "soak/fine", true, Leaves::Never),
    shot(8, "soak/slow", true, Leaves::Never),
    shot(3, "soak/slow", true, Leaves::AtFirst),
    shot(2, "soak/slow", false, Leaves::Soon),
    shot(2, "soak/quit", true, Leaves::AtFirst),
    shot(1, "soak/quit", true, Leaves::Soon),
    shot(3, "soak/cut", true, Leaves::Never),
    shot(2, "soak/cut", false, Leaves::Never),
    shot(2, "soak/mid", true, Leaves::Never),
    shot(2, "soak/early", true, Leaves::Never),
    shot(3, "soak/500", false, Leaves::Never),
    shot(2, "soak/inside", false, Leaves::Never),
    shot(2, "soak/reset", true, Leaves::Never),
    shot(1, "soak/hang", true, Leaves::Never),
    shot(1, "soak/stall", true, Leaves::Never),
];

/// What callers saw.
#[derive(Debug, Default)]
pub struct Tally {
    /// Over a connection that stood.
    pub sent: u64,
    /// Generations whose whole answer a caller has.
    pub served: Vec<String>,
    /// 402.
    pub refused_for_money: u64,
    /// How calls ended, in words.
    pub ended: BTreeMap<String, u64>,
}

/// Running callers.
pub struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<Tally>,
}

struct Shared {
    stop: CancellationToken,
    sent: AtomicU64,
    began: Instant,
    /// From then on no new key is begun.
    tail: Instant,
    groups: Vec<Group>,
    planes: Vec<Target>,
}

struct Group {
    keys: Vec<String>,
    current: AtomicUsize,
    /// In a row, of the current key.
    refusals: AtomicUsize,
}

struct Target {
    addr: SocketAddr,
    /// Milliseconds since the beginning.
    avoided_until: AtomicU64,
}

impl Load {
    pub fn start(plan: &Plan, furniture: &Furniture, system: &System) -> Self {
        let group = |group: &crate::soak::furnish::Group| Group {
            keys: group.keys.iter().map(|key| format!("Bearer {}", key.secret)).collect(),
            current: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
        };
        let target = |url: &String| {
            let addr = url.trim_start_matches("http://").parse().expect("data planes listen on addresses");
            Target { addr, avoided_until: AtomicU64::new(0) }
        };
        let shared = Arc::new(Shared {
            stop: CancellationToken::new(),
            sent: AtomicU64::new(0),
            began: Instant::now(),
            tail: Instant::now() + plan.lasts.saturating_sub(TAIL),
            groups: furniture.groups.iter().map(group).collect(),
            planes: system.urls.iter().map(target).collect(),
        });
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            let dice = StdRng::seed_from_u64(plan.seed.wrapping_add(1 + number as u64));
            let caller = Caller {
                shared: Arc::clone(&shared),
                group: number % GROUPS,
                dice,
                tally: Tally::default(),
                connections: Default::default(),
            };
            callers.spawn(caller.run());
        }
        Self { shared, callers }
    }

    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Lets every caller finish its call, and adds up what they saw.
    pub async fn stop(mut self) -> Tally {
        self.shared.stop.cancel();
        let mut sum = Tally::default();
        while let Some(caller) = self.callers.join_next().await {
            let tally = caller.expect("callers do not panic");
            sum.sent += tally.sent;
            sum.refused_for_money += tally.refused_for_money;
            sum.served.extend(tally.served);
            for (word, count) in tally.ended {
                *sum.ended.entry(word).or_default() += count;
            }
        }
        sum
    }
}

struct Caller {
    shared: Arc<Shared>,
    group: usize,
    dice: StdRng,
    tally: Tally,
    connections: [Option<Connection>; PLANES],
}

/// How a call ended for its caller.
enum End {
    Answered(Answer),
    Left,
    /// Nothing, or not all, in time.
    Silent,
    Broke,
}

impl Caller {
    async fn run(mut self) -> Tally {
        // Not all at once.
        sleep(PERIOD.mul_f64(self.dice.random_range(0.0..1.0))).await;
        while !self.shared.stop.is_cancelled() {
            let began = Instant::now();
            self.call().await;
            let rest = PERIOD.mul_f64(self.dice.random_range(0.8..1.2)).saturating_sub(began.elapsed());
            self.shared.stop.clone().run_until_cancelled(sleep(rest)).await;
        }
        self.tally
    }

    async fn call(&mut self) {
        let shot = self.draw();
        let request_size = self.dice.random_range(20..60);
        let (key, is_current) = self.key();
        let wanted = self.dice.random_range(0..PLANES);
        let moment = Duration::from_millis(self.dice.random_range(5..60));
        for plane in (0..PLANES).map(|n| (wanted + n) % PLANES) {
            if self.shared.is_avoided(plane) || !self.connect(plane).await {
                continue;
            }
            self.tally.sent += 1;
            self.shared.sent.fetch_add(1, Ordering::Relaxed);
            let group = &self.shared.groups[self.group];
            let request = request(shot, &group.keys[key], request_size);
            let end = self.exchange(plane, request, shot, moment).await;
            self.count(end, is_current);
            return;
        }
        *self.tally.ended.entry("no data plane at hand".to_owned()).or_default() += 1;
    }

    fn draw(&mut self) -> &'static Shot {
        let total: u32 = SHOTS.iter().map(|shot| shot.weight).sum();
        let mut at = self.dice.random_range(0..total);
        let drawn = SHOTS.iter().find(|shot| {
            let is_it = at < shot.weight;
            at = at.saturating_sub(shot.weight);
            is_it
        });
        drawn.unwrap_or(&SHOTS[0])
    }

    /// The group's current key, or now and then any other; and whether it is the current one. In the end any that was begun.
    fn key(&mut self) -> (usize, bool) {
        let group = &self.shared.groups[self.group];
        if Instant::now() > self.shared.tail {
            let begun = group.current.load(Ordering::Relaxed).min(group.keys.len() - 1);
            return (self.dice.random_range(0..=begun), false);
        }
        if self.dice.random_bool(0.08) {
            return (self.dice.random_range(0..group.keys.len()), false);
        }
        (group.current.load(Ordering::Relaxed) % group.keys.len(), true)
    }

    async fn connect(&mut self, plane: usize) -> bool {
        let connection = &mut self.connections[plane];
        if connection.as_ref().is_none_or(Connection::is_closed) {
            *connection = None;
            let opening = timeout(PATIENCE, Connection::open(self.shared.planes[plane].addr));
            *connection = opening.await.ok().and_then(Result::ok);
        }
        connection.is_some()
    }

    async fn exchange(
        &mut self,
        plane: usize,
        request: Request<Full<Bytes>>,
        shot: &Shot,
        moment: Duration,
    ) -> End {
        let Some(mut connection) = self.connections[plane].take() else { return End::Broke };
        let patience = if shot.leaves == Leaves::Soon { moment } else { PATIENCE };
        let is_all = shot.leaves != Leaves::AtFirst;
        match timeout(patience, connection.call(request, is_all)).await {
            // A refusal is no answer to leave.
            Ok(Ok(answer)) if !is_all && answer.status.is_success() => End::Left,
            Ok(Ok(answer)) => {
                if is_all {
                    self.connections[plane] = Some(connection);
                }
                End::Answered(answer)
            }
            Ok(Err(_)) => End::Broke,
            Err(_) if shot.leaves == Leaves::Soon => End::Left,
            Err(_) => {
                self.shared.avoid(plane);
                End::Silent
            }
        }
    }

    fn count(&mut self, end: End, is_current: bool) {
        let word = match end {
            End::Left => "the caller left".to_owned(),
            End::Silent => "no answer in time".to_owned(),
            End::Broke => "the connection broke".to_owned(),
            End::Answered(answer) => {
                let group = &self.shared.groups[self.group];
                if answer.status.as_u16() == 402 {
                    self.tally.refused_for_money += 1;
                    if is_current {
                        group.refused();
                    }
                }
                match answer.served() {
                    Some(id) => {
                        self.tally.served.push(id);
                        if is_current {
                            group.refusals.store(0, Ordering::Relaxed);
                        }
                        "served".to_owned()
                    }
                    None => {
                        let error = answer.error().unwrap_or_else(|| "no end".to_owned());
                        format!("{} {error}", answer.status.as_u16())
                    }
                }
            }
        };
        *self.tally.ended.entry(word).or_default() += 1;
    }
}

impl Group {
    fn refused(&self) {
        if self.refusals.fetch_add(1, Ordering::Relaxed) + 1 == ENOUGH {
            self.refusals.store(0, Ordering::Relaxed);
            self.current.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_avoided(&self, plane: usize) -> bool {
        self.planes[plane].avoided_until.load(Ordering::Relaxed) > self.now_ms()
    }

    fn avoid(&self, plane: usize) {
        let until = self.now_ms() + AVOIDED.as_millis() as u64;
        self.planes[plane].avoided_until.store(until, Ordering::Relaxed);
    }
}

fn request(shot: &Shot, bearer: &str, size: usize) -> Request<Full<Bytes>> {
    let Shot { model, stream, .. } = shot;
    // The first endpoint first: a provider that fails is to be tried, whatever is known of it.
    let body = format!(
        r#"{{"model":"{model}","stream":{stream},"max_tokens":12,"provider":{{"order":["lab","other"]}},"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(size)
    );
    let request = Request::post("/api/v1/chat/completions")
        .header("host", "soak")
        .header("content-type", "application/json")
        .header("authorization", bearer);
    request.body(Full::new(body.into())).expect("all parts are valid")
}
