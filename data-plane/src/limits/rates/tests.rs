//! One contract, two stores: memory always, Redis where a `redis-server` is installed.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use tempfile::TempDir;

use super::{redis::Redis, *};

/// Far longer than in production: the contract is about counts, and machines that test are slow.
const DEADLINE: Duration = Duration::from_secs(5);

/// A private Redis on a socket in a folder of its own.
struct Server {
    child: Child,
    dir: TempDir,
}

impl Server {
    /// `None` where Redis is not installed.
    async fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let Some(child) = spawn(dir.path()) else {
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

    fn store(&self, instance: &str, deadline: Duration) -> RateLimiter {
        let background = Background::new(tokio::runtime::Handle::current());
        let instance = InstanceId::new(instance);
        RateLimiter(Redis::start(&self.url(), &instance, deadline, &background).unwrap())
    }
}

fn spawn(dir: &Path) -> Option<Child> {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]);
    command.arg(dir.join("redis.sock")).arg("--dir").arg(dir);
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
        contract(server.store("dp_1", DEADLINE)).await;
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
        let Self { tenant, key, tenant_rates, key_rates } = self;
        let admission = Admission { tenant, key, tenant_rates: *tenant_rates, key_rates: *key_rates, tokens };
        store.admit(&admission).await
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
            let AdmitError::Limited { limit, ceiling, retry_after } =
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

#[tokio::test]
async fn two_instances_share_one_limit() {
    let Some(server) = Server::start().await else { return };
    let stores = [server.store("dp_1", DEADLINE), server.store("dp_2", DEADLINE)];
    for (rates, least, most) in [(requests(20), 20, 20), (requests(6000), 5400, 6100), (at_once(7), 7, 7)] {
        let caller = Caller::new(rates);
        let (mut passed, mut held) = (0, Vec::new());
        // Alternating, until both are refused.
        'asking: loop {
            let mut refused = 0;
            for store in &stores {
                match caller.admit(store, 0).await {
                    Ok(admitted) => {
                        passed += 1;
                        held.push(admitted);
                    }
                    Err(_) => refused += 1,
                }
                if passed > most {
                    break 'asking;
                }
            }
            if refused == stores.len() {
                break;
            }
        }
        assert!((least..=most).contains(&passed), "{passed} passed with {rates:?}");
    }
}

#[tokio::test]
async fn without_redis_each_instance_allows_its_share_and_comes_back() {
    let Some(mut server) = Server::start().await else { return };
    let store = server.store("dp_1", Duration::from_millis(200));
    let caller = Caller::new(requests(2));
    assert!(caller.admit(&store, 0).await.is_ok());
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let start = Instant::now();
    let mut passed = 0;
    for _ in 0..20 {
        passed += u32::from(caller.admit(&store, 0).await.is_ok());
    }
    assert_eq!(passed, 2, "approximate, not open");
    assert!(start.elapsed() < Duration::from_secs(3), "nobody waits for what is away");
    server.child = spawn(server.dir.path()).unwrap();
    let fresh = Caller::new(at_once(1));
    let other = server.store("dp_2", DEADLINE);
    // Counted together again once both see each other's slot.
    eventually(async || {
        let here = fresh.admit(&store, 0).await;
        let there = fresh.admit(&other, 0).await;
        let is_shared = here.is_ok() && there.is_err();
        for admitted in [here, there].into_iter().flatten().flatten() {
            admitted.end(None);
        }
        is_shared
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
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(10), "it did not happen in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
