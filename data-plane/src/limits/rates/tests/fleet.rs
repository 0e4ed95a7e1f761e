//! Several instances on one Redis: what they share, what each does while it is away, and what a dead one leaves.

use super::*;

/// Long enough for a Redis that answers, short enough for one that does not.
const BRISK: Times = Times { deadline: Duration::from_millis(200), ..PATIENT };
/// Marks and slots end soon.
const SHORT_LIVED: Times = Times { slot_expiry: Duration::from_millis(1_500), ..PATIENT };

#[tokio::test]
async fn two_instances_share_one_limit() {
    let Some(server) = Server::start().await else { return };
    let stores = [server.store("dp_1", PATIENT), server.store("dp_2", PATIENT)];
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
    let store = server.store("dp_1", BRISK);
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
    server.child = spawn(server.dir.path(), &[]).unwrap();
    let fresh = Caller::new(at_once(1));
    let other = server.store("dp_2", PATIENT);
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

#[tokio::test]
async fn without_redis_the_share_is_that_of_the_instances_last_seen() {
    let Some(mut server) = Server::start().await else { return };
    let stores = [server.redis("dp_1", SHORT_LIVED), server.redis("dp_2", SHORT_LIVED)];
    eventually(async || stores.iter().all(|store| store.instances() == 2)).await;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let stores = stores.map(|store| RateLimiter(store));
    for (ceiling, share) in [(10, 5), (1, 1)] {
        let caller = Caller::new(requests(ceiling));
        for store in &stores {
            let mut passed = 0;
            for _ in 0..3 * ceiling {
                passed += u64::from(caller.admit(store, 0).await.is_ok());
            }
            assert_eq!(passed, share, "of {ceiling}");
        }
    }
}

#[tokio::test]
async fn a_frozen_redis_holds_nobody_up_and_its_connection_survives() {
    let Some(server) = Server::start().await else { return };
    let (store, connection) = (server.store("dp_1", BRISK), server.connect().await);
    let caller = Caller::new(requests(600));
    // The connection is made in the background.
    eventually(async || is_exact(&connection, &caller, &store).await).await;
    let connections = connections(&connection).await;
    server.signal("-STOP");
    let start = Instant::now();
    for _ in 0..50 {
        assert!(caller.admit(&store, 0).await.is_ok(), "rates fail open");
    }
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    server.signal("-CONT");
    eventually(async || is_exact(&connection, &caller, &store).await).await;
    assert_eq!(self::connections(&connection).await, connections, "nobody connected anew");
}

/// Whether a request is counted in Redis, and not beside it.
async fn is_exact(
    connection: &::redis::aio::MultiplexedConnection,
    caller: &Caller,
    store: &RateLimiter,
) -> bool {
    let get = ::redis::cmd("GET").arg(format!("sy:{{{}}}:k:{}:r", caller.tenant, caller.key)).to_owned();
    let read = async || get.query_async::<Option<String>>(&mut connection.clone()).await.unwrap();
    let before = read().await;
    let is_admitted = caller.admit(store, 0).await.is_ok();
    is_admitted && read().await != before
}

async fn connections(connection: &::redis::aio::MultiplexedConnection) -> String {
    let info = ::redis::cmd("INFO").arg("stats").to_owned();
    let info: String = info.query_async(&mut connection.clone()).await.unwrap();
    info.lines().find(|line| line.starts_with("total_connections_received")).unwrap().to_owned()
}

#[tokio::test]
async fn slots_of_a_dead_instance_expire_and_those_of_a_living_one_stay() {
    let Some(server) = Server::start().await else { return };
    let living = server.store("dp_1", SHORT_LIVED);
    let caller = Caller::new(at_once(2));
    let _first = caller.admit(&living, 0).await.unwrap();
    // Killed: what it holds is never left, and never renewed.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let background = Background::new(runtime.handle().clone());
    let dying = Redis::start(&server.url(), &InstanceId::new("dp_2"), SHORT_LIVED, &background).unwrap();
    std::mem::forget(caller.admit(&RateLimiter(dying), 0).await.unwrap());
    runtime.shutdown_background();
    assert!(caller.admit(&living, 0).await.is_err(), "both slots are taken");
    let _second = until(async || caller.admit(&living, 0).await.ok()).await;
    assert!(caller.admit(&living, 0).await.is_err(), "the living one's slot was renewed");
}

#[tokio::test]
async fn every_key_of_a_script_is_in_one_slot_of_a_cluster() {
    let Some(server) = Server::start_cluster().await else { return };
    let stores = [server.store("dp_1", PATIENT), server.store("dp_2", PATIENT)];
    let all = Rates { tokens_per_minute: Some(100), concurrency: Some(2), ..requests(3) };
    let model = model();
    for _ in 0..2 {
        let caller = Caller { tenant_rates: all, ..Caller::new(all) };
        let admitted = caller.admit(&stores[0], 10).await.unwrap().unwrap();
        for owner in [Owner::Model(&model), Owner::Credential(caller.key.as_str())] {
            drop(stores[0].pass((owner, all), 10).await.unwrap());
        }
        admitted.end(Some(5));
        // What the cluster refuses, each instance counts by itself.
        let mut passed = 0;
        while let Ok(admitted) = caller.admit(&stores[1], 0).await {
            admitted.unwrap().end(None);
            passed += 1;
        }
        assert_eq!(passed, 2, "the first request was counted in the cluster");
        let (connection, slots) = (server.connect().await, format!("sy:{{{}}}:t:c", caller.tenant));
        eventually(async || {
            let left = ::redis::cmd("ZCARD").arg(&slots).to_owned();
            left.query_async::<u64>(&mut connection.clone()).await.unwrap() == 0
        })
        .await;
    }
}
