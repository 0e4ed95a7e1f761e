//! Tenants and their credits.

use std::time::Duration;

use prost_types::FieldMask;
use switchyard_control_plane::{service::ledger, store::revision};
use switchyard_proto::{clock, v1};
use switchyard_tests::admin::AdminPort;
use tonic::{Code, Status};

async fn create(port: &AdminPort, tenant: v1::Tenant, credits_usd: &str) -> Result<v1::Tenant, Status> {
    let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: credits_usd.to_owned() };
    let made: v1::CreateTenantResponse = port.call("TenantService/CreateTenant", &request).await?;
    Ok(made.tenant.unwrap())
}

async fn update(port: &AdminPort, tenant: v1::Tenant, paths: &[&str]) -> Result<v1::Tenant, Status> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = v1::UpdateTenantRequest {
        id: tenant.id.clone(),
        tenant: Some(tenant),
        update_mask: Some(FieldMask { paths }),
        revision: 0,
    };
    port.call("TenantService/UpdateTenant", &request).await
}

async fn adjust(port: &AdminPort, usd: &str, idempotency_key: &str) -> Result<v1::Tenant, Status> {
    let request = v1::AdjustCreditsRequest {
        id: "acme".to_owned(),
        usd: usd.to_owned(),
        reason: "invoice 7".to_owned(),
        idempotency_key: idempotency_key.to_owned(),
        ..Default::default()
    };
    port.call("TenantService/AdjustCredits", &request).await
}

/// Moves credits of a kind, with a reason or without.
async fn move_credits(
    port: &AdminPort,
    usd: &str,
    (kind, reason, force): (v1::CreditKind, &str, bool),
) -> Result<v1::Tenant, Status> {
    let request = v1::AdjustCreditsRequest {
        id: "acme".to_owned(),
        usd: usd.to_owned(),
        reason: reason.to_owned(),
        kind: kind.into(),
        force,
        ..Default::default()
    };
    port.call("TenantService/AdjustCredits", &request).await
}

async fn delete(port: &AdminPort, id: &str) -> Result<v1::DeleteTenantResponse, Status> {
    let request = v1::DeleteTenantRequest { id: id.to_owned(), revision: 0 };
    port.call("TenantService/DeleteTenant", &request).await
}

fn acme() -> v1::Tenant {
    v1::Tenant { id: "acme".to_owned(), ..Default::default() }
}

/// Ledger lines of the tenant's credits, oldest first: charge, reason, actor.
async fn lines(port: &AdminPort) -> Vec<(String, String, String)> {
    let request = v1::ListLinesRequest { tenant: "acme".to_owned(), ..Default::default() };
    let listed: v1::ListLinesResponse = port.call("UsageService/ListLines", &request).await.unwrap();
    assert!(listed.lines.iter().all(|line| line.kind == "credit"));
    let shown = |line: v1::Line| (line.charge_usd, line.reason, line.actor);
    listed.lines.into_iter().rev().map(shown).collect()
}

async fn account(port: &AdminPort) -> (Option<i64>, i64) {
    sqlx::query_as(
        "SELECT limit_nano, charged FROM accounts WHERE kind = 1 AND owner = 'acme' AND period = 'all'",
    )
    .fetch_one(&port.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn credits_at_the_start_make_a_tenant_prepaid() {
    let port = AdminPort::start().await.unwrap();
    let tenant = create(&port, acme(), "100.00").await.unwrap();
    assert_eq!((tenant.prepaid, tenant.credits_left_usd.as_str()), (true, "100"));
    assert_eq!(account(&port).await, (Some(100_000_000_000), 0));
    let booked = lines(&port).await;
    assert_eq!((booked.len(), booked[0].0.as_str(), booked[0].1.as_str()), (1, "-100", "opening credits"));
}

#[tokio::test]
async fn a_tenant_without_credits_is_counted_but_not_limited() {
    let port = AdminPort::start().await.unwrap();
    let tenant = create(&port, acme(), "").await.unwrap();
    assert_eq!((tenant.prepaid, tenant.credits_left_usd.as_str()), (false, ""));
    assert_eq!(account(&port).await, (None, 0));
    let refused = adjust(&port, "5", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "tenant `acme` is not prepaid; set `prepaid` first");
}

#[tokio::test]
async fn credits_left_are_those_granted_less_what_is_taken() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    sqlx::query(
        "UPDATE accounts SET charged = 1500000000, presumed = 200000000, lent = 300000000 WHERE kind = 1",
    )
    .execute(&port.pool)
    .await
    .unwrap();
    assert_eq!(adjust(&port, "5", "").await.unwrap().credits_left_usd, "13");
    let refused = adjust(&port, "-13.5", "").await.unwrap_err();
    let message =
        "usd takes back credits that are spent or lent: 13 USD are left; set `force` to do it all the same";
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    let forced = move_credits(&port, "-14", (v1::CreditKind::Unspecified, "", true)).await.unwrap();
    assert_eq!(forced.credits_left_usd, "-1");
    assert_eq!(account(&port).await.0, Some(1_000_000_000));
    let charges: Vec<String> = lines(&port).await.into_iter().map(|line| line.0).collect();
    assert_eq!(charges, ["-10", "-5", "14"]);
    for (usd, message) in [
        ("-2", "usd takes back more than the 1 USD ever granted"),
        ("0", "usd must not be 0"),
        ("ten", "usd is not a decimal number of dollars"),
        ("9223372036", "usd is too large"),
    ] {
        let refused = adjust(&port, usd, "").await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
    }
}

#[tokio::test]
async fn credits_move_for_a_reason_that_fits_their_kind() {
    use v1::CreditKind::{Adjustment, Refund, TopUp};
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    for (usd, kind, reason, message) in [
        ("-1", TopUp, "", "usd is negative, and a top-up only grants"),
        ("1", Refund, "cancelled", "usd is positive, and a refund pays back: it only takes"),
        ("-1", Refund, " ", "reason is required"),
        ("1", Adjustment, "", "reason is required"),
    ] {
        let refused = move_credits(&port, usd, (kind, reason, false)).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message), "{kind:?} {usd}");
    }
    move_credits(&port, "5", (TopUp, "", false)).await.unwrap();
    move_credits(&port, "-2", (Refund, "cancelled", false)).await.unwrap();
    move_credits(&port, "1", (Adjustment, "goodwill", false)).await.unwrap();
    let listed: v1::ListLinesResponse =
        port.call("UsageService/ListLines", &v1::ListLinesRequest::default()).await.unwrap();
    let kinds: Vec<_> =
        listed.lines.iter().rev().map(|line| (line.credit(), line.charge_usd.as_str())).collect();
    assert_eq!(kinds, [(TopUp, "-10"), (TopUp, "-5"), (Refund, "2"), (Adjustment, "-1")]);
    let audit: v1::ListEntriesResponse =
        port.call("AuditService/ListEntries", &v1::ListEntriesRequest::default()).await.unwrap();
    let newest =
        audit.entries.iter().map(|entry| format!("{entry:?}")).find(|entry| entry.contains("goodwill"));
    assert!(newest.is_some_and(|entry| entry.contains("adjustment")), "the audit tells kind and reason");
}

#[tokio::test]
async fn a_repeated_grant_is_made_once() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    let (one, two) = tokio::join!(adjust(&port, "5", "invoice-7"), adjust(&port, "5", "invoice-7"));
    assert_eq!((one.unwrap().credits_left_usd, two.unwrap().credits_left_usd), ("15".into(), "15".into()));
    assert_eq!(adjust(&port, "5.0", "invoice-7").await.unwrap().credits_left_usd, "15");
    let refused = adjust(&port, "6", "invoice-7").await.unwrap_err();
    assert_eq!(refused.message(), "idempotency_key was used before with 5 USD");
    assert_eq!(adjust(&port, "5", "invoice-8").await.unwrap().credits_left_usd, "20");
    assert_eq!(lines(&port).await.len(), 3);
}

#[tokio::test]
async fn the_ledger_names_who_moved_credits_and_why() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    adjust(&port, "5", "").await.unwrap();
    let (charge, reason, actor) = lines(&port).await.pop().unwrap();
    assert_eq!((charge.as_str(), reason.as_str()), ("-5", "invoice 7"));
    assert!(actor.starts_with("tok_"), "{actor}");
}

#[tokio::test]
async fn leaving_and_taking_up_prepaid_keeps_what_was_granted() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    update(&port, acme(), &["prepaid"]).await.unwrap();
    assert_eq!(account(&port).await.0, None);
    let back = update(&port, v1::Tenant { prepaid: true, ..acme() }, &["prepaid"]).await.unwrap();
    assert_eq!(back.credits_left_usd, "10");
    assert_eq!(account(&port).await.0, Some(10_000_000_000));
}

#[tokio::test]
async fn bad_tenants_are_refused_by_field() {
    let port = AdminPort::start().await.unwrap();
    let cheap = v1::PriceParts { output: "cheap".to_owned(), ..Default::default() };
    let no_price = v1::PriceRule { price: Some(cheap), ..Default::default() };
    for (tenant, credits, field) in [
        (v1::Tenant::default(), "", "tenant.id"),
        (v1::Tenant { id: "Acme".to_owned(), ..Default::default() }, "", "tenant.id"),
        (v1::Tenant { id: "-".to_owned(), ..Default::default() }, "", "tenant.id"),
        (v1::Tenant { markup_ppm: u64::MAX, ..acme() }, "", "tenant.markup_ppm"),
        (v1::Tenant { allowed_models: vec!["*".to_owned()], ..acme() }, "", "tenant.allowed_models[0]"),
        (v1::Tenant { allowed_regions: vec![" ".to_owned()], ..acme() }, "", "tenant.allowed_regions[0]"),
        (v1::Tenant { data_collection: "some".to_owned(), ..acme() }, "", "tenant.data_collection"),
        (v1::Tenant { price_book: vec![no_price], ..acme() }, "", "tenant.price_book[0].price.output"),
        (acme(), "ten", "credits_usd"),
        (acme(), "-1", "credits_usd"),
    ] {
        let refused = create(&port, tenant, credits).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert_eq!(refused.metadata().get("switchyard-field").unwrap(), field);
    }
    create(&port, acme(), "").await.unwrap();
    let refused = create(&port, acme(), "5").await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::AlreadyExists, "tenant `acme` already exists"));
}

#[tokio::test]
async fn rules_are_kept_changed_one_by_one_and_taken_back() {
    let port = AdminPort::start().await.unwrap();
    let ruled = v1::Tenant {
        allowed_providers: vec!["openai".to_owned(), "azure/eu".to_owned()],
        ignored_providers: vec!["groq".to_owned()],
        zdr: true,
        data_collection: "deny".to_owned(),
        allowed_regions: vec!["eu".to_owned()],
        ..acme()
    };
    let rules = |tenant: v1::Tenant| {
        let v1::Tenant {
            allowed_providers, ignored_providers, zdr, data_collection, allowed_regions, ..
        } = tenant;
        (allowed_providers, ignored_providers, zdr, data_collection, allowed_regions)
    };
    let made = create(&port, ruled.clone(), "").await.unwrap();
    assert_eq!(rules(made), rules(ruled.clone()));
    let eased = update(&port, acme(), &["zdr", "allowed_regions"]).await.unwrap();
    let expected = v1::Tenant { zdr: false, allowed_regions: Vec::new(), ..ruled };
    assert_eq!(rules(eased), rules(expected));
    let paths = ["allowed_providers", "ignored_providers", "data_collection"];
    let free = update(&port, acme(), &paths).await.unwrap();
    assert_eq!(rules(free), rules(acme()));
}

#[tokio::test]
async fn a_tenant_goes_with_its_keys_and_tokens_in_one_revision() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    port.key("acme", "one").await.unwrap();
    port.key("acme", "two").await.unwrap();
    let token = port.token(v1::Role::TenantAdmin, "acme").await.unwrap().secret;
    delete(&port, "acme").await.unwrap();
    let revisions: Vec<i64> = sqlx::query_scalar(
        "SELECT revision FROM keys WHERE deleted_at IS NOT NULL UNION ALL
         SELECT revision FROM admin_tokens WHERE deleted_at IS NOT NULL UNION ALL
         SELECT revision FROM tenants WHERE deleted_at IS NOT NULL",
    )
    .fetch_all(&port.pool)
    .await
    .unwrap();
    assert!(
        revisions.len() == 4 && revisions.iter().all(|revision| *revision == revisions[0]),
        "{revisions:?}"
    );
    let request = v1::GetTenantRequest { id: "acme".to_owned() };
    let refused =
        port.call_as::<_, v1::Tenant>(&token, "TenantService/GetTenant", &request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(delete(&port, "acme").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_deleted_tenant_comes_back_with_its_credits_and_without_its_keys() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    port.key("acme", "one").await.unwrap();
    delete(&port, "acme").await.unwrap();
    let back = create(&port, acme(), "5").await.unwrap();
    assert_eq!(back.credits_left_usd, "15");
    let request = v1::ListKeysRequest { tenant: "acme".to_owned(), ..Default::default() };
    let keys: v1::ListKeysResponse = port.call("KeyService/ListKeys", &request).await.unwrap();
    assert!(keys.keys.is_empty());
}

#[tokio::test]
async fn a_removed_tenants_credits_stay_proven_and_come_back_with_it() {
    let port = AdminPort::start().await.unwrap();
    create(&port, acme(), "10").await.unwrap();
    delete(&port, "acme").await.unwrap();
    let soon = clock::now() + Duration::from_secs(60);
    assert_eq!(revision::purge(&port.pool, soon).await.unwrap(), 1);
    let differences = async || ledger::prove_all(&port.pool).await.unwrap().differences;
    assert_eq!(differences().await, [], "what it left behind is no difference");
    let run = async |statement: &'static str| sqlx::query(statement).execute(&port.pool).await.unwrap();
    for (change, undo, tenant, nano) in [
        (
            "UPDATE lines SET charge_nano = charge_nano - 1 WHERE kind = 'credit'",
            "UPDATE lines SET charge_nano = charge_nano + 1 WHERE kind = 'credit'",
            "acme",
            (10_000_000_000, 10_000_000_001),
        ),
        (
            "INSERT INTO lines (id, kind, tenant, charge_nano)
             SELECT first_id(now()), 'credit', 'nobody', -7",
            "DELETE FROM lines WHERE tenant = 'nobody'",
            "nobody",
            (0, 7),
        ),
    ] {
        run(change).await;
        let found = differences().await;
        assert_eq!(found.len(), 1, "{change}: {found:?}");
        let found = (found[0].tenant.as_str(), (found[0].recorded_nano, found[0].proven_nano));
        assert_eq!(found, (tenant, nano), "{change}");
        run(undo).await;
    }
    let back = create(&port, acme(), "5").await.unwrap();
    assert_eq!(back.credits_left_usd, "15", "its id has the account of before, and what was granted to it");
    assert_eq!(differences().await, []);
}

#[tokio::test]
async fn a_key_made_while_its_tenant_is_deleted_is_deleted_or_refused() {
    let port = AdminPort::start().await.unwrap();
    for round in 0..5 {
        create(&port, acme(), "").await.unwrap();
        let name = format!("k{round}");
        let (_, deleted) = tokio::join!(port.key("acme", &name), delete(&port, "acme"));
        deleted.unwrap();
        let orphans: i64 = sqlx::query_scalar("SELECT count(*) FROM keys WHERE deleted_at IS NULL")
            .fetch_one(&port.pool)
            .await
            .unwrap();
        assert_eq!(orphans, 0, "round {round}");
    }
}
