//! Budgets of tenants, users and provider credentials: what they lend, and that their windows hold.

use chrono::{DateTime, TimeDelta, Utc};
use switchyard_proto::{clock, id::GenerationId, window::Window};
use v1::{
    GrantOutcome::{Busy, Exhausted, Granted, UnknownAccount, Unlimited, Withheld},
    provider_service_client::ProviderServiceClient,
};

use super::{
    leases::{acquire, acquire_grouped},
    *,
};

const USD: u64 = 1_000_000_000;

fn budget(window: &str, usd: &str) -> v1::Budget {
    v1::Budget { window: window.into(), usd: usd.into() }
}

/// The tenant's account of a window's period at this time, or so many hours before it.
///
/// Each test takes the time once: the full hour may pass within it.
fn tenant_account(window: &str, now: DateTime<Utc>, hours_ago: i64) -> v1::AccountPeriod {
    let at = now - TimeDelta::hours(hours_ago);
    account(v1::AccountKind::TenantBudget, "acme", &Window::parse(window).unwrap().period(at))
}

impl Plane {
    async fn set_budgets(&self, budgets: Vec<v1::Budget>) -> Result<(), tonic::Status> {
        let paths = vec!["budgets".to_owned()];
        let request = v1::UpdateTenantRequest {
            id: "acme".into(),
            tenant: Some(v1::Tenant { budgets, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths }),
            revision: 0,
        };
        let mut client = TenantServiceClient::new(self.admin().await);
        client.update_tenant(self.as_operator(request)).await.map(drop)
    }

    async fn set_key(&self, id: &str, key: v1::Key, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = v1::UpdateKeyRequest {
            tenant: "acme".into(),
            id: id.into(),
            key: Some(key),
            update_mask: Some(prost_types::FieldMask { paths }),
            revision: 0,
        };
        let mut client = KeyServiceClient::new(self.admin().await);
        client.update_key(self.as_operator(request)).await.unwrap();
    }

    /// Books what an attempt of `acme` charged these accounts.
    async fn book(&self, data_plane: &DataPlane, charges: &[(&v1::AccountPeriod, u64)]) {
        let charge = |(account, charged_nano): &(&v1::AccountPeriod, u64)| v1::Charge {
            account: Some((*account).clone()),
            charged_nano: *charged_nano,
            reserved_nano: *charged_nano,
            leased: true,
        };
        let attempt = v1::AttemptRecord {
            generation: GenerationId::generate().to_bytes(),
            attempt: 1,
            instance: data_plane.instance.clone(),
            epoch: data_plane.epoch,
            tenant: "acme".into(),
            credential: "cred".into(),
            charge_nano: charges[0].1,
            charges: charges.iter().map(charge).collect(),
            provenance: v1::Provenance::ProviderFinal.into(),
            ..Default::default()
        };
        let record = v1::UsageRecord { kind: Some(v1::usage_record::Kind::Attempt(attempt)) };
        let request = v1::ReportRequest {
            instance: data_plane.instance.clone(),
            epoch: data_plane.epoch,
            records: vec![record.encode_to_vec().into()],
            traceparents: Vec::new(),
        };
        let booked = self.usage().await.report(request).await.unwrap().into_inner();
        assert_eq!((booked.booked, booked.quarantined), (1, 0));
    }
}

#[tokio::test]
async fn budgets_must_strictly_decrease_as_their_windows_narrow() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    plane.set_budgets(vec![budget("monthly", "500"), budget("daily", "50")]).await.unwrap();
    let status =
        plane.set_budgets(vec![budget("monthly", "500"), budget("weekly", "600")]).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(
        status.message(),
        "tenant.budgets[1].usd is 600, but must be less than the monthly limit of 500"
    );
    let status = plane.set_budgets(vec![budget("fortnightly", "1")]).await.unwrap_err();
    assert!(status.message().starts_with("tenant.budgets[0].window is none of daily,"), "{status}");
}

#[tokio::test]
async fn each_budget_lends_under_its_own_limit_and_one_that_is_gone_lends_no_more() {
    let now = clock::now();
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    plane.set_budgets(vec![budget("monthly", "5"), budget("daily", "2"), budget("24h", "1")]).await.unwrap();
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    let accounts = ["monthly", "daily", "24h", "weekly"].map(|window| tenant_account(window, now, 0));
    let asks: Vec<_> = accounts.iter().map(|account| (account, 2 * USD, 1)).collect();
    let grants = acquire(&plane, &data_plane, &asks).await;
    let shown: Vec<_> =
        grants.iter().map(|grant| (grant.outcome(), grant.granted_nano, grant.limit_nano / USD)).collect();
    let half = USD / 2;
    assert_eq!(shown, [(Granted, 2 * USD, 5), (Granted, USD, 2), (Granted, half, 1), (Unlimited, 0, 0)]);
    assert_eq!(
        plane.count("SELECT count(*) FROM accounts WHERE kind = 2 AND period LIKE '%-W%'").await,
        0,
        "what has no limit needs no row"
    );
    plane.set_budgets(vec![budget("monthly", "3"), budget("daily", "2")]).await.unwrap();
    let recalled = [accounts[0].clone(), accounts[2].clone()];
    assert_eq!(
        data_plane.recalled().await,
        recalled,
        "more is lent than half of three dollars, and of no budget at all"
    );
    let grants = acquire(&plane, &data_plane, &asks).await;
    let outcomes: Vec<_> = grants.iter().map(v1::Grant::outcome).collect();
    assert_eq!(outcomes, [Granted, Granted, Unlimited, Unlimited]);
    assert!(grants[0].granted_nano <= USD && grants[1].granted_nano <= USD);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn a_lowered_budget_asks_back_what_lies_in_all_of_its_periods() {
    let now = clock::now();
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    plane.set_budgets(vec![budget("2h", "1"), budget("3h", "2")]).await.unwrap();
    let mut data_plane = DataPlane::current(&plane, "dp").await;
    let accounts = ["2h", "3h"].map(|window| [1, 0].map(|hours_ago| tenant_account(window, now, hours_ago)));
    for of_window in &accounts {
        for account in of_window {
            acquire(&plane, &data_plane, &[(account, USD / 5, USD / 5)]).await;
        }
    }
    // Either slot alone is less than half of it.
    plane.set_budgets(vec![budget("2h", "0.6"), budget("3h", "2")]).await.unwrap();
    assert_eq!(data_plane.recalled().await, accounts[0]);
    plane.set_budgets(vec![budget("2h", "0.5"), budget("3h", "1.9")]).await.unwrap();
    assert_eq!(data_plane.recalled().await, accounts[0], "the broader window bears what is lent of it");
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn a_rolling_window_counts_what_its_earlier_slots_spent_and_lent() {
    let now = clock::now();
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    plane.set_budgets(vec![budget("2h", "1")]).await.unwrap();
    let (earlier, running) = (tenant_account("2h", now, 1), tenant_account("2h", now, 0));
    let one = DataPlane::current(&plane, "one").await;
    let mut other = DataPlane::current(&plane, "other").await;
    let part = USD * 6 / 10;
    assert_eq!(acquire(&plane, &one, &[(&earlier, part, part)]).await[0].granted_nano, part);
    let grants = acquire(&plane, &other, &[(&running, USD / 2, USD / 2)]).await;
    assert_eq!((grants[0].outcome(), grants[0].headroom_nano), (Busy, USD * 4 / 10));
    assert_eq!(
        other.recalled().await,
        std::slice::from_ref(&earlier),
        "what lies in an earlier slot is asked back from everybody"
    );
    plane.book(&one, &[(&earlier, part)]).await;
    let grants =
        acquire(&plane, &other, &[(&running, USD / 2, USD / 2), (&running, USD / 10, USD / 10)]).await;
    assert_eq!([grants[0].outcome(), grants[1].outcome()], [Exhausted, Granted]);
    assert_eq!(grants[1].headroom_nano, USD * 3 / 10);
    // A clock that is behind may still book on the earlier slot, under the same limit.
    let grants = acquire(&plane, &one, &[(&earlier, USD, USD * 3 / 10), (&earlier, USD, 1)]).await;
    assert_eq!([grants[0].outcome(), grants[1].outcome()], [Granted, Busy]);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn what_slid_out_of_a_rolling_window_counts_no_more() {
    let now = clock::now();
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    plane.set_budgets(vec![budget("2h", "1")]).await.unwrap();
    for (hours_ago, charged) in [(2, 300_000_000_i64), (3, 400_000_000), (50, 900_000_000)] {
        let slot = tenant_account("2h", now, hours_ago);
        sqlx::query(
            "INSERT INTO accounts (kind, owner, period, tenant, charged) VALUES (2, 'acme', $1, 'acme', $2)",
        )
        .bind(&slot.period)
        .bind(charged)
        .execute(&plane.pool)
        .await
        .unwrap();
    }
    let data_plane = DataPlane::current(&plane, "dp").await;
    let grants = acquire(&plane, &data_plane, &[(&tenant_account("2h", now, 0), 1, 1)]).await;
    // The last two hours lie within three slots: the running one and two before it.
    assert_eq!((grants[0].outcome(), grants[0].headroom_nano), (Granted, USD * 7 / 10 - 1));
}

#[tokio::test]
async fn slots_of_a_rolling_window_never_lend_more_than_its_limit_whoever_asks_at_once() {
    let now = clock::now();
    let plane = std::sync::Arc::new(Plane::start().await);
    plane.tenant("acme", "").await;
    plane.set_budgets(vec![budget("3h", "1")]).await.unwrap();
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..6_u64 {
        let plane = std::sync::Arc::clone(&plane);
        workers.spawn(async move {
            let data_plane = DataPlane::attach(&plane, &format!("dp-{number}"), None).await;
            let mut held = 0;
            for round in 0..20_u64 {
                // Half of them think that it is an hour earlier.
                let slot = tenant_account("3h", now, i64::from((number + round) % 2 == 0));
                let least = 1_000_000 * (1 + (number + round) % 40);
                held += acquire(&plane, &data_plane, &[(&slot, 10 * least, least)]).await[0].granted_nano;
            }
            held
        });
    }
    let held: u64 = workers.join_all().await.iter().sum();
    assert!(held <= USD && held > USD * 9 / 10, "{held}");
    assert_eq!(plane.count("SELECT sum(lent)::bigint FROM accounts").await, i64::try_from(held).unwrap());
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn users_have_budgets_of_their_own_and_rows_only_once_something_is_lent() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let key = plane.key("one", "1.00", v1::Reset::Never).await.key.unwrap();
    let limit = |usd: &str| Some(v1::SpendLimit { usd: usd.into(), reset: v1::Reset::Daily.into() });
    let trusting = v1::Key { trust_user: true, user_limit: limit("0.40"), ..Default::default() };
    plane.set_key(&key.id, trusting.clone(), &["trust_user", "user_limit"]).await;
    let data_plane = DataPlane::current(&plane, "dp").await;
    let today = clock::now().format("%Y-%m-%d").to_string();
    let user = |name: &str| account(v1::AccountKind::UserBudget, &format!("acme/{}/{name}", key.id), &today);
    let of_key = account(v1::AccountKind::KeyLimit, &key.id, "all");
    let ask = async |name: &str, least| {
        let user = user(name);
        let grants =
            acquire_grouped(&plane, &data_plane, &[(&of_key, least, least), (&user, least, least)], 1).await;
        grants.unwrap().iter().map(v1::Grant::outcome).collect::<Vec<_>>()
    };
    let part = USD * 3 / 10;
    assert_eq!(ask("ann", part).await, [Granted, Granted]);
    assert_eq!(ask("ben", part).await, [Granted, Granted], "fifty for each, not for all");
    assert_eq!(ask("ann", part).await, [Withheld, Exhausted]);
    assert_eq!(ask("eve", part).await, [Granted, Granted]);
    for stranger in 0..20 {
        assert_eq!(ask(&format!("stranger-{stranger}"), part).await, [Exhausted, Withheld]);
    }
    assert_eq!(
        plane.count("SELECT count(*) FROM accounts WHERE kind = 4").await,
        3,
        "strangers open nothing"
    );
    let nobody = account(v1::AccountKind::UserBudget, "acme/key_other/ann", &today);
    let over_all_keys = account(v1::AccountKind::UserBudget, "acme//ann", &today);
    let grants = acquire(&plane, &data_plane, &[(&nobody, 1, 1), (&over_all_keys, 1, 1)]).await;
    assert_eq!([grants[0].outcome(), grants[1].outcome()], [UnknownAccount, Unlimited]);
    plane.set_key(&key.id, v1::Key { user_limit: limit("0.50"), ..trusting }, &["user_limit"]).await;
    let ann = user("ann");
    let grants = acquire(&plane, &data_plane, &[(&ann, USD, USD * 2 / 10), (&ann, USD, USD * 2 / 10)]).await;
    assert_eq!([grants[0].outcome(), grants[1].outcome()], [Granted, Exhausted]);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn a_credentials_budget_is_the_operators_and_no_tenant_sees_it() {
    let plane = Plane::start().await;
    plane.tenant("acme", "").await;
    let provider = v1::Provider {
        id: "p".into(),
        adapter: "openai".into(),
        base_url: "https://api.example.com/v1".into(),
        credential: "sk-upstream".into(),
        credential_budget: Some(v1::SpendLimit { usd: "2".into(), reset: v1::Reset::Monthly.into() }),
        ..Default::default()
    };
    let mut client = ProviderServiceClient::new(plane.admin().await);
    let request = v1::CreateProviderRequest { provider: Some(provider.clone()) };
    client.create_provider(plane.as_operator(request)).await.unwrap();
    let mut data_plane = DataPlane::attach(&plane, "dp", None).await;
    let push = data_plane.take().await;
    let sent = push.resources.iter().find_map(|resource| match resource.body.as_ref()? {
        v1::resource::Body::Provider(provider) => Some(provider.clone()),
        _ => None,
    });
    let sent = sent.unwrap();
    assert_eq!(sent.credential_budget.unwrap().usd, "2");
    let month = clock::now().format("%Y-%m").to_string();
    let credential = account(v1::AccountKind::CredentialBudget, &sent.credentials[0].id, &month);
    let asks = [(&credential, USD, USD), (&credential, USD, USD), (&credential, USD, USD)];
    let grants = acquire(&plane, &data_plane, &asks).await;
    let outcomes: Vec<_> = grants.iter().map(v1::Grant::outcome).collect();
    assert_eq!(outcomes, [Granted, Granted, Exhausted]);
    let lowered = v1::Provider {
        credential_budget: Some(v1::SpendLimit { usd: "1".into(), reset: v1::Reset::Monthly.into() }),
        ..Default::default()
    };
    let request = v1::UpdateProviderRequest {
        id: "p".into(),
        provider: Some(lowered),
        update_mask: Some(prost_types::FieldMask { paths: vec!["credential_budget".into()] }),
        revision: 0,
    };
    client.update_provider(plane.as_operator(request)).await.unwrap();
    assert_eq!(data_plane.recalled().await, std::slice::from_ref(&credential));
    assert_eq!(
        plane
            .count("SELECT count(*) FROM accounts WHERE kind = 5 AND tenant = '' AND limit_nano = 1000000000")
            .await,
        1
    );
    plane.assert_adds_up().await;
}
