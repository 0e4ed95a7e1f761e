//! Lending: never beyond the limit, whoever asks how often; and what becomes of money whose holder is gone.

use switchyard_control_plane::money::leases as money;
use v1::GrantOutcome::{Busy, Exhausted, Granted, UnknownAccount, Unlimited};

use super::*;

const USD: u64 = 1_000_000_000;

pub(super) async fn acquire(
    plane: &Plane,
    data_plane: &DataPlane,
    asks: &[(&v1::AccountPeriod, u64, u64)],
) -> Vec<v1::Grant> {
    acquire_grouped(plane, data_plane, asks, 0).await.unwrap()
}

/// Asks that are of use together alone, unless `group` is 0.
pub(super) async fn acquire_grouped(
    plane: &Plane,
    data_plane: &DataPlane,
    asks: &[(&v1::AccountPeriod, u64, u64)],
    group: u32,
) -> Result<Vec<v1::Grant>, tonic::Status> {
    let ask = |(account, wanted_nano, least_nano): &(&v1::AccountPeriod, u64, u64)| v1::Ask {
        account: Some((*account).clone()),
        wanted_nano: *wanted_nano,
        least_nano: *least_nano,
        group,
    };
    let request = v1::AcquireRequest {
        instance: data_plane.instance.clone(),
        epoch: data_plane.epoch,
        asks: asks.iter().map(ask).collect(),
    };
    Ok(plane.leases().await.acquire(request).await?.into_inner().grants)
}

pub(super) async fn give_back(
    plane: &Plane,
    instance: &str,
    epoch: u64,
    account: &v1::AccountPeriod,
    amount_nano: u64,
) {
    let surplus = vec![v1::Surplus { account: Some(account.clone()), amount_nano }];
    let request = v1::ReturnRequest { instance: instance.into(), epoch, surplus };
    plane.leases().await.r#return(request).await.unwrap();
}

fn credits() -> v1::AccountPeriod {
    account(v1::AccountKind::TenantCredits, "acme", "all")
}

#[tokio::test]
async fn grants_follow_limits_and_say_what_is_left() {
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    plane.tenant("free", "").await;
    let limited = plane.key("limited", "4.00", v1::Reset::Never).await.key.unwrap();
    let open = plane.key("open", "", v1::Reset::Never).await.key.unwrap();
    let data_plane = DataPlane::current(&plane, "dp").await;
    let key = |id: &str| account(v1::AccountKind::KeyLimit, id, "all");
    let grants = acquire(
        &plane,
        &data_plane,
        &[
            (&credits(), USD, 1),
            (&key(&limited.id), 100 * USD, 1),
            (&key(&limited.id), 1, 3 * USD),
            (&key(&limited.id), 1, 5 * USD),
            (&key(&open.id), USD, 1),
            (&account(v1::AccountKind::TenantCredits, "free", "all"), USD, 1),
            (&account(v1::AccountKind::TenantBudget, "acme", "2026-11"), USD, 1),
            (&key("key_nobody"), USD, 1),
            (&account(v1::AccountKind::KeyLimit, &limited.id, "2020-01-01"), USD, 1),
        ],
    )
    .await;
    let shown: Vec<_> =
        grants.iter().map(|grant| (grant.outcome(), grant.granted_nano, grant.headroom_nano)).collect();
    assert_eq!(
        shown,
        [
            (Granted, USD, 9 * USD),
            // Half of what is there.
            (Granted, 2 * USD, 2 * USD),
            // The two dollars that are left are not enough, and the others are in its own hands.
            (Exhausted, 0, 2 * USD),
            (Exhausted, 0, 2 * USD),
            (Unlimited, 0, 0),
            (Unlimited, 0, 0),
            (Unlimited, 0, 0),
            (UnknownAccount, 0, 0),
            // Not of this time: the data plane's config or clock is behind.
            (Busy, 0, 0),
        ]
    );
    assert_eq!(grants[1].limit_nano, 4 * USD);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn disabled_and_deleted_owners_lend_nothing() {
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    let key = plane.key("one", "4.00", v1::Reset::Never).await.key.unwrap();
    let data_plane = DataPlane::current(&plane, "dp").await;
    let period = account(v1::AccountKind::KeyLimit, &key.id, "all");
    let request = v1::UpdateKeyRequest {
        tenant: "acme".into(),
        id: key.id.clone(),
        key: Some(v1::Key { disabled: true, ..Default::default() }),
        ..Default::default()
    };
    let mut client = KeyServiceClient::new(plane.admin().await);
    client.update_key(plane.as_operator(request)).await.unwrap();
    let grants = acquire(&plane, &data_plane, &[(&period, USD, 1), (&credits(), USD, 1)]).await;
    assert_eq!([grants[0].outcome(), grants[1].outcome()], [UnknownAccount, Granted]);
}

#[tokio::test]
async fn grants_never_exceed_the_limit_however_many_ask_at_once() {
    let plane = std::sync::Arc::new(Plane::start().await);
    plane.tenant("acme", "1.00").await;
    let key = plane.key("one", "0.50", v1::Reset::Monthly).await.key.unwrap();
    let month = switchyard_proto::clock::now().format("%Y-%m").to_string();
    let period = account(v1::AccountKind::KeyLimit, &key.id, &month);
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..6_u64 {
        let (plane, period) = (std::sync::Arc::clone(&plane), period.clone());
        workers.spawn(async move {
            let data_plane = DataPlane::attach(&plane, &format!("dp-{number}"), None).await;
            let mut held = [0, 0];
            for round in 0..25_u64 {
                let least = 1_000_000 * (1 + (number + round) % 40);
                // In both orders: locks are taken in one.
                let asks = [(&period, 10 * least, least), (&credits(), 20 * least, least)];
                let flipped = [asks[1], asks[0]];
                let is_flipped = round % 2 == 1;
                let grants = acquire(&plane, &data_plane, if is_flipped { &flipped } else { &asks }).await;
                for (index, grant) in grants.iter().enumerate() {
                    held[index ^ usize::from(is_flipped)] += grant.granted_nano;
                }
                if round % 3 == 0 {
                    give_back(&plane, &data_plane.instance, data_plane.epoch, &period, held[0] / 2).await;
                    held[0] -= held[0] / 2;
                }
            }
            held
        });
    }
    let held = workers.join_all().await;
    let sum = |index: usize| held.iter().map(|held| held[index]).sum::<u64>();
    assert!(sum(0) <= USD / 2 && sum(1) <= USD, "{held:?}");
    assert_eq!(plane.balance(&period).await, (0, 0, i64::try_from(sum(0)).unwrap()));
    assert_eq!(plane.balance(&credits()).await, (0, 0, i64::try_from(sum(1)).unwrap()));
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn a_fenced_session_is_lent_nothing() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let older = DataPlane::attach(&plane, "dp", None).await;
    let newer = DataPlane::attach(&plane, "dp", None).await;
    let asks = [(&credits(), USD / 4, 1)];
    let status = acquire_grouped(&plane, &older, &asks, 0).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::FailedPrecondition, "fenced"));
    assert_eq!(plane.balance(&credits()).await, (0, 0, 0));
    assert_eq!(acquire(&plane, &newer, &asks).await[0].outcome(), Granted);
}

#[tokio::test]
async fn of_what_an_attempt_needs_all_or_nothing_is_lent() {
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    let key = plane.key("one", "1.00", v1::Reset::Never).await.key.unwrap();
    let limit = account(v1::AccountKind::KeyLimit, &key.id, "all");
    let (one, other) = (DataPlane::current(&plane, "one").await, DataPlane::current(&plane, "other").await);
    let both = |credits_least, key_least| [(credits_least, credits()), (key_least, limit.clone())];
    let ask = async |data_plane: &DataPlane, wants: [(u64, v1::AccountPeriod); 2]| {
        let asks: Vec<_> = wants.iter().map(|(least, account)| (account, *least, *least)).collect();
        let grants = acquire_grouped(&plane, data_plane, &asks, 7).await.unwrap();
        grants.iter().map(v1::Grant::outcome).collect::<Vec<_>>()
    };
    assert_eq!(ask(&one, both(USD, 2 * USD)).await, [v1::GrantOutcome::Withheld, Exhausted]);
    assert_eq!(plane.balance(&credits()).await, (0, 0, 0), "nothing is lent that would only lie about");
    assert_eq!(ask(&one, both(USD, USD)).await, [Granted, Granted]);
    assert_eq!(ask(&other, both(USD, USD)).await, [v1::GrantOutcome::Withheld, Busy]);
    let usd = i64::try_from(USD).unwrap();
    assert_eq!(plane.balance(&credits()).await, (0, 0, usd));
    assert_eq!(plane.balance(&limit).await, (0, 0, usd));
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn what_is_busy_is_recalled_from_the_others() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let mut holder = DataPlane::current(&plane, "holder").await;
    let mut asker = DataPlane::current(&plane, "asker").await;
    assert_eq!(acquire(&plane, &holder, &[(&credits(), USD, USD)]).await[0].outcome(), Granted);
    assert_eq!(acquire(&plane, &asker, &[(&credits(), USD, USD / 2)]).await[0].outcome(), Busy);
    assert_eq!(holder.recalled().await, [credits()]);
    give_back(&plane, "holder", holder.epoch, &credits(), USD).await;
    assert_eq!(acquire(&plane, &asker, &[(&credits(), USD, USD / 2)]).await[0].outcome(), Granted);
    // Who asks is not asked: its next message is a push.
    plane.tenant("beta", "").await;
    asker.take().await;
}

#[tokio::test]
async fn a_lowered_limit_stops_new_grants_at_once() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let key = plane.key("one", "4.00", v1::Reset::Never).await.key.unwrap();
    let period = account(v1::AccountKind::KeyLimit, &key.id, "all");
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    assert_eq!(acquire(&plane, &data_plane, &[(&period, USD, USD)]).await[0].granted_nano, USD);
    let limit = v1::SpendLimit { usd: "0.50".into(), reset: v1::Reset::Never.into() };
    let request = v1::UpdateKeyRequest {
        tenant: "acme".into(),
        id: key.id.clone(),
        key: Some(v1::Key { limit: Some(limit), ..Default::default() }),
        ..Default::default()
    };
    let mut client = KeyServiceClient::new(plane.admin().await);
    client.update_key(plane.as_operator(request)).await.unwrap();
    let grants = acquire(&plane, &data_plane, &[(&period, USD, 1), (&period, USD, USD)]).await;
    assert_eq!([grants[0].outcome(), grants[1].outcome()], [Exhausted, Exhausted]);
    assert_eq!(grants[0].limit_nano, USD / 2);
    assert_eq!(data_plane.recalled().await, [period], "half a dollar does not bear a whole one");
}

#[tokio::test]
async fn an_earlier_session_of_the_same_disk_gives_back_and_more_than_there_is_is_everything() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let older = DataPlane::attach(&plane, "dp", None).await;
    acquire(&plane, &older, &[(&credits(), USD / 4, 1)]).await;
    let newer = DataPlane::attach(&plane, "dp", None).await;
    assert_eq!((older.epoch, newer.epoch), (1, 2));
    give_back(&plane, "dp", 1, &credits(), u64::MAX).await;
    give_back(&plane, "dp", 1, &credits(), u64::MAX).await;
    assert_eq!(plane.balance(&credits()).await, (0, 0, 0));
    let request = v1::ReturnRequest { instance: "dp".into(), epoch: 3, surplus: Vec::new() };
    let status = plane.leases().await.r#return(request).await.unwrap_err();
    assert_eq!(status.message(), "fenced");
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn money_of_a_lost_instance_stays_counted_until_it_is_heard_of() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let lost = DataPlane::attach(&plane, "lost", None).await;
    acquire(&plane, &lost, &[(&credits(), USD / 4, 1)]).await;
    let now = switchyard_proto::clock::now();
    let silence = Duration::from_secs(600);
    let quarter = i64::try_from(USD / 4).unwrap();
    jobs::presume::run_once(&plane.pool, now, silence).await.unwrap();
    assert_eq!(plane.balance(&credits()).await, (0, 0, quarter), "not silent for long enough");
    let later = now + chrono::TimeDelta::seconds(700);
    jobs::presume::run_once(&plane.pool, later, silence).await.unwrap();
    jobs::presume::run_once(&plane.pool, later, silence).await.unwrap();
    assert_eq!(plane.balance(&credits()).await, (0, quarter, 0));
    assert_eq!(
        plane.count("SELECT count(*) FROM lines WHERE kind = 'presumed' AND tenant = 'acme'").await,
        1
    );
    plane.assert_adds_up().await;

    // It comes back, and what it did not spend is credited.
    let back = DataPlane::attach(&plane, "lost", None).await;
    give_back(&plane, "lost", lost.epoch, &credits(), USD / 8).await;
    assert_eq!(plane.balance(&credits()).await, (0, quarter / 2, 0));
    assert_eq!(back.epoch, 2);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn an_instance_that_says_hello_in_time_is_not_lost() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    acquire(&plane, &data_plane, &[(&credits(), USD / 4, 1)]).await;
    let now = switchyard_proto::clock::now();
    let leases = money::presume(&plane.pool, "dp", now - chrono::TimeDelta::seconds(600), now).await.unwrap();
    assert_eq!(leases, 0);
}
