//! Who is billed, side by side: a row is a caller, an attempt, and its accounts.

use switchyard_proto::secret::Secret;
use switchyard_proto::v1::resource::Body;

use super::*;
use crate::config::fixtures;
use crate::config::snapshot::Snapshot;

fn limit(usd: &str, reset: v1::Reset) -> Option<v1::SpendLimit> {
    Some(v1::SpendLimit { usd: usd.to_owned(), reset: reset.into() })
}

fn budget(window: &str, usd: &str) -> v1::Budget {
    v1::Budget { window: window.to_owned(), usd: usd.to_owned() }
}

/// Makes one thing differ.
type Change = fn(&mut v1::TenantConfig, &mut v1::KeyConfig, &mut v1::ProviderConfig);

/// A state with everything that could count.
fn snapshot(
    change: impl FnOnce(&mut v1::TenantConfig, &mut v1::KeyConfig, &mut v1::ProviderConfig),
) -> Snapshot {
    let mut provider = fixtures::provider("p");
    let [tenant, key] = fixtures::tenant();
    let (Some(Body::Tenant(mut tenant)), Some(Body::Key(mut key))) = (tenant.body, key.body) else {
        panic!("the fixture is a tenant and its key")
    };
    change(&mut tenant, &mut key, &mut provider);
    let bodies = [
        Body::Provider(provider),
        Body::Model(fixtures::model("a/m")),
        Body::Endpoint(fixtures::endpoint("a/m", "p", "1")),
        Body::Tenant(tenant),
        Body::Key(key),
    ];
    let compiled = fixtures::full(bodies.map(fixtures::resource));
    assert_eq!(compiled.refused, []);
    compiled.snapshot
}

fn full(tenant: &mut v1::TenantConfig, key: &mut v1::KeyConfig, provider: &mut v1::ProviderConfig) {
    tenant.prepaid = true;
    tenant.budgets = vec![budget("daily", "50"), budget("monthly", "500"), budget("24h", "20")];
    tenant.user_limit = limit("9", v1::Reset::Monthly);
    key.limit = limit("30", v1::Reset::Weekly);
    key.trust_user = true;
    key.user_limit = limit("5", v1::Reset::Daily);
    provider.credential_budget = limit("1000", v1::Reset::Monthly);
}

/// The accounts of an attempt, a line each: kind, owner, period, amount, and `+` where money is borrowed.
fn shown(snapshot: &Snapshot, user: Option<&str>, is_byok: bool) -> Vec<String> {
    let caller = fixtures::caller(snapshot);
    let at = "2026-11-23T10:20:00Z".parse().unwrap();
    let payers = Payers { caller: &caller, user, at };
    let endpoint = &snapshot.model("a/m").unwrap().endpoints[0];
    let (secret, rates) = (Secret::new("s"), None);
    let credential = Credential { id: "cred_1".into(), tenant: None, secret, weight: 1, rates };
    let worst = WorstCase { output_cap: 1, cost: NanoUsd(10), charge: NanoUsd(12) };
    let charges = match is_byok {
        true => payers.byok_charges(&worst),
        false => payers.charges(Some(&credential), endpoint, &worst),
    };
    let row = |due: &Due| {
        let Account { kind, owner, period } = &due.account;
        let sign = if due.leased { "+" } else { "" };
        format!("{} {owner} {period} {}{sign}", kind.as_str_name(), due.amount.0)
    };
    charges.iter().map(row).collect()
}

#[test]
fn an_attempt_bills_every_account_that_has_a_limit_the_broadest_budget_first() {
    assert_eq!(
        shown(&snapshot(full), Some("ann"), false),
        [
            "TENANT_CREDITS acme all 12+",
            "TENANT_BUDGET acme 2026-11 12+",
            "TENANT_BUDGET acme 2026-11-23 12+",
            "TENANT_BUDGET acme 24h/2026-11-23T10 12+",
            "KEY_LIMIT key_1 2026-W48 12+",
            "USER_BUDGET acme//ann 2026-11 12+",
            "USER_BUDGET acme/key_1/ann 2026-11-23 12+",
            "CREDENTIAL_BUDGET cred_1 2026-11 10+",
        ]
    );
    assert_eq!(shown(&snapshot(|_, _, _| {}), Some("ann"), false), ["TENANT_CREDITS acme all 12"]);
}

#[test]
fn users_count_only_on_keys_that_trust_the_field_and_nobody_is_a_user_too() {
    let users = |user, trusts| {
        let snapshot = snapshot(|tenant, key, provider| {
            full(tenant, key, provider);
            key.trust_user = trusts;
        });
        let users: Vec<String> =
            shown(&snapshot, user, false).into_iter().filter(|row| row.starts_with("USER")).collect();
        users
    };
    assert_eq!(users(Some("ann"), false), [""; 0]);
    assert_eq!(
        users(None, true),
        ["USER_BUDGET acme// 2026-11 12+", "USER_BUDGET acme/key_1/ 2026-11-23 12+"]
    );
    assert_eq!(
        users(Some("a/b %\u{e9}"), true)[1],
        "USER_BUDGET acme/key_1/a%2Fb%20%25%C3%A9 2026-11-23 12+",
        "a name cannot reach another user's account"
    );
    let long = users(Some(&"x".repeat(200)), true).remove(1);
    assert_eq!(long.len(), "USER_BUDGET acme/key_1/# 2026-11-23 12+".len() + 64, "{long}");
}

#[test]
fn a_tenants_own_credential_counts_apart_and_on_limits_only_where_they_say_so() {
    let byok = |of_tenant, of_key| {
        let snapshot = snapshot(|tenant, key, provider| {
            full(tenant, key, provider);
            tenant.include_byok_in_budgets = of_tenant;
            key.include_byok_in_limit = of_key;
        });
        let counts = counts_byok(&fixtures::caller(&snapshot));
        (shown(&snapshot, Some("ann"), true), counts)
    };
    let (payer, usage) = ("TENANT_CREDITS acme all 0", "BYOK_USAGE key_1 2026-11-23 10");
    assert_eq!(byok(false, false), (vec![payer.to_owned(), usage.to_owned()], false));
    let (rows, counts) = byok(false, true);
    assert_eq!(
        rows,
        [payer, "KEY_LIMIT key_1 2026-W48 10+", "USER_BUDGET acme/key_1/ann 2026-11-23 10+", usage]
    );
    assert!(counts);
    let (rows, counts) = byok(true, false);
    assert_eq!(rows.len(), 6, "{rows:?}");
    assert!(
        counts
            && rows[1] == "TENANT_BUDGET acme 2026-11 10+"
            && rows[4] == "USER_BUDGET acme//ann 2026-11 10+"
    );
}

#[test]
fn the_output_cap_is_held_where_any_limit_counts() {
    let changes: [(Change, bool); 7] = [
        (|_, _, _| {}, false),
        (|tenant, _, _| tenant.prepaid = true, true),
        (|tenant, _, _| tenant.budgets = vec![budget("daily", "5")], true),
        (|_, key, _| key.limit = limit("5", v1::Reset::Never), true),
        (|tenant, _, _| tenant.user_limit = limit("5", v1::Reset::Never), false),
        (
            |tenant, key, _| {
                tenant.user_limit = limit("5", v1::Reset::Never);
                key.trust_user = true;
            },
            true,
        ),
        (|_, _, provider| provider.credential_budget = limit("5", v1::Reset::Never), true),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let snapshot = snapshot(change);
        let endpoint = &snapshot.model("a/m").unwrap().endpoints[0];
        assert_eq!(is_bound(&fixtures::caller(&snapshot), endpoint, false), expected, "row {index}");
    }
}

#[test]
fn m8_what_is_used_up_is_named_with_its_amount() {
    let account =
        |kind, period: &str| Account { kind, owner: "acme".into(), period: Period::parse(period).unwrap() };
    use AccountKind::{KeyLimit, TenantBudget, TenantCredits, UserBudget};
    for (account, usd, status, source, text) in [
        (account(TenantCredits, "all"), "5", 402, "credits", "Insufficient credits: "),
        (account(KeyLimit, "2026-11"), "5", 402, "key_limit", "The limit of this API key is reached: "),
        (
            account(TenantBudget, "2026-11"),
            "500",
            403,
            "tenant_budget",
            "Tenant monthly budget of $500.00 exceeded: ",
        ),
        (
            account(TenantBudget, "2026-W48"),
            "0.5",
            403,
            "tenant_budget",
            "Tenant weekly budget of $0.50 exceeded: ",
        ),
        (
            account(TenantBudget, "24h/2026-11-23T10"),
            "0.0005",
            403,
            "tenant_budget",
            "Tenant budget of $0.0005 per 24 hours exceeded: ",
        ),
        (
            account(UserBudget, "2026-11-23"),
            "50",
            403,
            "user_budget",
            "User daily budget of $50.00 exceeded: ",
        ),
        (account(UserBudget, "all"), "1.25", 403, "user_budget", "User budget of $1.25 exceeded: "),
    ] {
        let error = short(&account, NanoUsd::parse(usd).unwrap(), (7, 90), "output");
        assert_eq!(error.code.status().as_u16(), status, "{account}");
        assert!(error.public.starts_with(text), "{}", error.public);
        assert!(error.public.ends_with("up to 90 output tokens, 7 can be afforded."), "{}", error.public);
        assert_eq!(error.metadata["limit_source"], source);
    }
}
