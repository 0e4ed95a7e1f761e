//! One contract, two stores: memory always, Redis where a `redis-server` is installed.

use std::{
    panic::AssertUnwindSafe,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use tempfile::TempDir;

mod fleet;

use super::{
    redis::{Redis, Times},
    *,
};

/// Far longer than in production: the contract is about counts, and machines that test are slow.
const PATIENT: Times = Times { deadline: Duration::from_secs(5), slot_expiry: Duration::from_secs(30) };

/// A private Redis on a socket in a folder of its own.
struct Server {
    child: Child,
    dir: TempDir,
}

impl Server {
    /// `None` where Redis is not installed.
    async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// One that is a whole cluster: it refuses what touches two of its slots.
    async fn start_cluster() -> Option<Self> {
        let server = Self::start_with(&["--cluster-enabled", "yes"]).await?;
        let mut connection = server.connect().await;
        let all = ::redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).to_owned();
        all.query_async::<()>(&mut connection).await.unwrap();
        eventually(async || {
            let info = ::redis::cmd("CLUSTER").arg("INFO").to_owned();
            info.query_async::<String>(&mut connection.clone()).await.unwrap().contains("cluster_state:ok")
        })
        .await;
        Some(server)
    }

    async fn start_with(arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let Some(child) = spawn(dir.path(), arguments) else {
            eprintln!("skipped: no redis-server on this machine");
            return None;
        };
        let server = Self { child, dir };
        let client = ::redis::Client::open(server.url().expose()).unwrap();
        let start = Instant::now();
        while client.get_multiplexed_async_connection().await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "redis-server does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Some(server)
    }

    fn url(&self) -> Secret {
        Secret::new(format!("redis+unix://{}", self.dir.path().join("redis.sock").display()))
    }

    fn store(&self, instance: &str, times: Times) -> RateLimiter {
        RateLimiter(self.redis(instance, times))
    }

    fn redis(&self, instance: &str, times: Times) -> Arc<Redis> {
        let background = Background::new(tokio::runtime::Handle::current());
        Redis::start(&self.url(), &InstanceId::new(instance), times, &background).unwrap()
    }

    async fn connect(&self) -> ::redis::aio::MultiplexedConnection {
        let client = ::redis::Client::open(self.url().expose()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Stops the process in its tracks, or lets it go on.
    fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }
}

fn spawn(dir: &Path, arguments: &[&str]) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
    command.arg(dir.join("redis.sock")).arg("--dir").arg(dir).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a test of the contract over every store.
async fn over_every_store(contract: impl AsyncFn(RateLimiter)) {
    contract(RateLimiter::memory()).await;
    if let Some(server) = Server::start().await {
        contract(server.store("dp_1", PATIENT)).await;
    }
}

/// A caller that no other test knows.
struct Caller {
    tenant: TenantId,
    key: KeyId,
    tenant_rates: Rates,
    key_rates: Rates,
}

impl Caller {
    fn new(key_rates: Rates) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let (tenant, key) = (TenantId::new(format!("t{number}")), KeyId::new(format!("k{number}")));
        Self { tenant, key, tenant_rates: Rates::default(), key_rates }
    }

    async fn admit(&self, store: &RateLimiter, tokens: u64) -> Result<Option<Box<dyn Admitted>>, AdmitError> {
        Ok(self.ask(store, tokens).await?.map(|granted| granted.admitted))
    }

    async fn ask(&self, store: &RateLimiter, tokens: u64) -> Result<Option<Granted>, AdmitError> {
        let Self { tenant, key, tenant_rates, key_rates } = self;
        let owners = [(Owner::Key(tenant, key), *key_rates), (Owner::Tenant(tenant), *tenant_rates)];
        store.admit(&Admission { owners: &owners, tokens }).await
    }
}

fn requests(limit: u64) -> Rates {
    Rates { requests_per_minute: Some(limit), ..Rates::default() }
}

fn tokens(limit: u64) -> Rates {
    Rates { tokens_per_minute: Some(limit), ..Rates::default() }
}

fn at_once(limit: u64) -> Rates {
    Rates { concurrency: Some(limit), ..Rates::default() }
}

#[tokio::test]
async fn a_minutes_requests_pass_and_the_next_is_told_when() {
    over_every_store(async |store| {
        let caller = Caller::new(requests(3));
        for _ in 0..3 {
            assert!(caller.admit(&store, 0).await.is_ok());
        }
        for _ in 0..2 {
            let AdmitError::Limited { limit, ceiling, retry_after, .. } =
                caller.admit(&store, 0).await.err().unwrap();
            assert_eq!((limit.to_string().as_str(), ceiling), ("requests per minute of the key", 3));
            let seconds = retry_after.as_secs_f64();
            assert!((10.0..=20.0).contains(&seconds), "{seconds}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_tenants_limit_holds_over_all_its_keys() {
    over_every_store(async |store| {
        let one = Caller { tenant_rates: requests(2), ..Caller::new(Rates::default()) };
        let other =
            Caller { tenant: one.tenant.clone(), tenant_rates: requests(2), ..Caller::new(Rates::default()) };
        assert!(one.admit(&store, 0).await.is_ok() && other.admit(&store, 0).await.is_ok());
        let error = other.admit(&store, 0).await.err().unwrap().to_string();
        assert!(error.contains("of the tenant"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn what_one_limit_refuses_is_not_taken_from_another() {
    over_every_store(async |store| {
        let mut caller = Caller { tenant_rates: requests(2), ..Caller::new(tokens(100)) };
        assert!(caller.admit(&store, 100).await.is_ok());
        for _ in 0..5 {
            assert!(caller.admit(&store, 100).await.is_err());
        }
        caller.key_rates = Rates::default();
        assert!(caller.admit(&store, 0).await.is_ok(), "the tenant's second request");
    })
    .await;
}

#[tokio::test]
async fn a_permit_dropped_before_an_answer_returns_its_tokens() {
    over_every_store(async |store| {
        let caller = Caller::new(tokens(100));
        let admitted = caller.admit(&store, 90).await.unwrap().unwrap();
        assert!(caller.admit(&store, 90).await.is_err());
        admitted.end(None);
        eventually(async || caller.admit(&store, 90).await.is_ok()).await;
    })
    .await;
}

#[tokio::test]
async fn tokens_are_corrected_to_what_was_used() {
    over_every_store(async |store| {
        let caller = Caller::new(tokens(1000));
        caller.admit(&store, 900).await.unwrap().unwrap().end(Some(100));
        eventually(async || caller.admit(&store, 800).await.is_ok()).await;
        let caller = Caller::new(tokens(1000));
        caller.admit(&store, 100).await.unwrap().unwrap().end(Some(1000));
        eventually(async || caller.admit(&store, 300).await.is_err()).await;
    })
    .await;
}

#[tokio::test]
async fn a_request_larger_than_a_minutes_tokens_passes_when_nothing_else_did() {
    over_every_store(async |store| {
        let caller = Caller::new(tokens(100));
        assert!(caller.admit(&store, 5000).await.is_ok());
        assert!(caller.admit(&store, 1).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn requests_at_once_are_counted_and_a_freed_slot_is_free_at_once() {
    over_every_store(async |store| {
        let caller = Caller::new(at_once(2));
        let one = caller.admit(&store, 0).await.unwrap().unwrap();
        let _two = caller.admit(&store, 0).await.unwrap().unwrap();
        assert!(caller.admit(&store, 0).await.is_err());
        one.end(None);
        let caller_alone = Caller::new(at_once(1));
        for _ in 0..50 {
            caller_alone.admit(&store, 0).await.expect("one after another").unwrap().end(Some(0));
        }
        assert!(caller.admit(&store, 0).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_ceiling_of_zero_lets_nothing_pass() {
    over_every_store(async |store| {
        for rates in [requests(0), tokens(0), at_once(0)] {
            assert!(Caller::new(rates).admit(&store, 1).await.is_err(), "{rates:?}");
        }
    })
    .await;
}

/// A model that no other test knows.
fn model() -> ModelId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    ModelId::new(format!("a/m{}", NEXT.fetch_add(1, Ordering::SeqCst)))
}

#[tokio::test]
async fn answers_say_what_is_left_and_when_it_is_whole_again() {
    over_every_store(async |store| {
        let key_rates = Rates { tokens_per_minute: Some(600), ..requests(3) };
        let caller = Caller { tenant_rates: requests(1000), ..Caller::new(key_rates) };
        let check = |levels: &[Level], measure, (ceiling, remaining, reset): (u64, u64, f64)| {
            let level = tightest(levels, measure).unwrap();
            assert_eq!((level.ceiling, level.remaining), (ceiling, remaining), "{measure:?}");
            let seconds = level.reset.as_secs_f64();
            // Time passes meanwhile.
            assert!((reset - 8.0..=reset).contains(&seconds), "{measure:?}: {seconds}, not {reset}");
        };
        for asked in [1, 2] {
            let levels = caller.ask(&store, 100).await.unwrap().unwrap().levels;
            let (requests, tokens) = (3 - asked, 600 - 100 * asked);
            check(&levels, Measure::Requests, (3, requests, 20.0 * asked as f64));
            let left = tightest(&levels, Measure::Tokens).unwrap();
            // Ten tokens refill in a second.
            assert!((tokens..tokens + 80).contains(&left.remaining), "{left:?}");
            assert_eq!(left.ceiling, 600);
        }
        assert!(caller.admit(&store, 0).await.is_ok());
        let AdmitError::Limited { level, .. } = caller.ask(&store, 0).await.err().unwrap();
        check(level.as_slice(), Measure::Requests, (3, 0, 60.0));
    })
    .await;
}

#[tokio::test]
async fn a_models_rates_are_for_all_callers_together_and_a_credentials_for_it_alone() {
    over_every_store(async |store| {
        let (one, other) = (model(), model());
        let owners = [Owner::Model(&one), Owner::Credential(one.as_str())];
        for owner in owners {
            for _ in 0..2 {
                let passage = store.pass((owner, requests(2)), 0).await.unwrap().unwrap();
                passage.enter();
            }
            let AdmitError::Limited { limit, .. } = store.pass((owner, requests(2)), 0).await.err().unwrap();
            assert_eq!(limit, Limit { scope: owner.scope(), measure: Measure::Requests });
        }
        assert!(store.pass((Owner::Model(&other), requests(2)), 0).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_passage_that_nothing_was_sent_under_is_given_back_whole() {
    over_every_store(async |store| {
        let model = model();
        let rates = Rates { requests_per_minute: Some(1), tokens_per_minute: Some(50), concurrency: Some(1) };
        for _ in 0..3 {
            eventually(async || store.pass((Owner::Model(&model), rates), 50).await.is_ok()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_passage_counts_what_its_attempts_used_and_frees_its_slot_with_the_last() {
    over_every_store(async |store| {
        let model = model();
        let rates = Rates { tokens_per_minute: Some(1000), ..at_once(1) };
        let owner = Owner::Model(&model);
        let first = Arc::new(store.pass((owner, rates), 900).await.unwrap().unwrap());
        let second = Arc::clone(&first);
        for passage in [&first, &second] {
            passage.enter();
            passage.spend(300);
        }
        drop(first);
        assert!(store.pass((owner, rates), 0).await.is_err(), "the second attempt is under way");
        drop(second);
        eventually(async || {
            let Ok(passage) = store.pass((owner, tokens(1000)), 350).await else { return false };
            drop(passage);
            store.pass((owner, tokens(1000)), 500).await.is_err()
        })
        .await;
        eventually(async || store.pass((owner, at_once(1)), 0).await.is_ok()).await;
    })
    .await;
}

#[tokio::test]
async fn a_panic_frees_what_was_taken() {
    over_every_store(async |store| {
        let model = model();
        let passage = store.pass((Owner::Model(&model), at_once(1)), 0).await.unwrap().unwrap();
        passage.enter();
        let broken: std::thread::Result<()> = std::panic::catch_unwind(AssertUnwindSafe(move || {
            let _passage = passage;
            panic!("on purpose");
        }));
        assert!(broken.is_err());
        eventually(async || store.pass((Owner::Model(&model), at_once(1)), 0).await.is_ok()).await;
    })
    .await;
}

#[test]
fn an_address_that_is_none_is_refused_without_showing_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let background = Background::new(runtime.handle().clone());
    let url = Secret::new("ftp://:canary@localhost");
    let error = RateLimiter::redis(&url, &InstanceId::new("dp_1"), &background).err().unwrap();
    assert!(!format!("{error:?} {error}").contains("canary"));
}

async fn eventually(condition: impl AsyncFn() -> bool) {
    until(async || condition().await.then_some(())).await;
}

async fn until<T>(look: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
