//! The proof of the ledger: a nano-dollar on any row shows, on demand and by name.

use switchyard_proto::{clock, id::GenerationId};
use v1::ledger_service_client::LedgerServiceClient;

use super::{leases::acquire, *};

impl Plane {
    async fn prove(&self) -> v1::Proof {
        let mut client = LedgerServiceClient::new(self.admin().await);
        client.prove(self.as_operator(v1::ProveRequest {})).await.unwrap().into_inner()
    }

    /// Runs a statement, proves, and takes it back.
    async fn tampered(&self, statement: &str, undo: &str) -> v1::Proof {
        let run = async |statement: &str| {
            let done =
                sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&self.pool).await.unwrap();
            assert_eq!(done.rows_affected(), 1, "{statement}");
        };
        run(statement).await;
        let proof = self.prove().await;
        run(undo).await;
        proof
    }
}

/// A line, a lease and a presumed rest on an account of every kind.
async fn furnished() -> Plane {
    let plane = Plane::start().await;
    plane.tenant("acme", "10.00").await;
    let key = plane.key("one", "5.00", v1::Reset::Never).await.key.unwrap().id;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let credits = account(v1::AccountKind::TenantCredits, "acme", "all");
    let limit = account(v1::AccountKind::KeyLimit, &key, "all");
    acquire(&plane, &data_plane, &[(&credits, 1000, 1000), (&limit, 1000, 1000)]).await;
    let charge = |account: v1::AccountPeriod, leased| v1::Charge {
        account: Some(account),
        charged_nano: 100,
        reserved_nano: 100,
        leased,
    };
    use v1::AccountKind::{ByokUsage, CredentialBudget, TenantBudget, UserBudget};
    let attempt = v1::AttemptRecord {
        generation: GenerationId::generate().to_bytes(),
        attempt: 1,
        instance: "dp".into(),
        epoch: 1,
        tenant: "acme".into(),
        key: key.clone(),
        credential: "cred".into(),
        charges: vec![
            charge(credits, true),
            charge(limit, true),
            charge(account(TenantBudget, "acme", "24h/2026-11-23T10"), false),
            charge(account(UserBudget, "acme//ann", "2026-11"), false),
            charge(account(CredentialBudget, "cred", "2026-11"), false),
            charge(account(ByokUsage, &key, "2026-11-23"), false),
        ],
        charge_nano: 100,
        house_nano: 7,
        provenance: v1::Provenance::ProviderFinal.into(),
        ..Default::default()
    };
    let record = v1::UsageRecord { kind: Some(v1::usage_record::Kind::Attempt(attempt)) };
    let records = vec![record.encode_to_vec().into()];
    let request = v1::ReportRequest { instance: "dp".into(), epoch: 1, records, ..Default::default() };
    assert_eq!(plane.usage().await.report(request).await.unwrap().into_inner().booked, 1);
    drop(data_plane);
    let lost = DataPlane::attach(&plane, "lost", None).await;
    let credits = account(v1::AccountKind::TenantCredits, "acme", "all");
    acquire(&plane, &lost, &[(&credits, 500, 500)]).await;
    let now = clock::now();
    let later = now + chrono::TimeDelta::seconds(700);
    switchyard_control_plane::money::leases::presume(&plane.pool, "lost", later, now).await.unwrap();
    plane
}

#[tokio::test]
async fn a_nano_dollar_on_any_row_is_reported_with_its_place() {
    let plane = furnished().await;
    let proof = plane.prove().await;
    assert!(proof.holds && proof.differences.is_empty(), "{proof:#?}");
    assert_eq!((proof.accounts, proof.tenants, proof.lines), (7, 1, 4));
    for (table, set, at, what, kind) in [
        ("accounts", "charged", "kind = 1", "charged", 1),
        ("accounts", "presumed", "kind = 1", "presumed", 1),
        ("accounts", "lent", "kind = 1", "lent", 1),
        ("accounts", "charged", "kind = 2", "charged", 2),
        ("accounts", "charged", "kind = 3", "charged", 3),
        ("accounts", "lent", "kind = 3", "lent", 3),
        ("accounts", "charged", "kind = 4", "charged", 4),
        ("accounts", "charged", "kind = 5", "charged", 5),
        ("accounts", "charged", "kind = 6", "charged", 6),
        ("accounts", "charged", "kind = 7", "charged", 7),
        ("leases", "granted", "kind = 1 AND instance = 'dp'", "lent", 1),
        ("leases", "used", "kind = 3", "lent", 3),
        ("leases", "granted", "instance = 'lost'", "lent", 1),
        ("lines", "charge_nano", "kind = 'attempt'", "line", 0),
        ("lines", "charge_nano", "kind = 'house'", "line", 0),
        ("lines", "charge_nano", "kind = 'presumed'", "presumed", 1),
        ("lines", "charge_nano", "kind = 'credit'", "credits", 0),
        ("tenants", "credits_nano", "id = 'acme'", "credits", 0),
    ] {
        let change = |sign| format!("UPDATE {table} SET {set} = {set} {sign} 1 WHERE {at}");
        let proof = plane.tampered(&change('+'), &change('-')).await;
        let found: Vec<_> = proof.differences.iter().map(|row| row.what.as_str()).collect();
        assert_eq!((proof.holds, found), (false, vec![what]), "{table}.{set} where {at}");
        let difference = &proof.differences[0];
        assert_eq!(difference.account.as_ref().map_or(0, |account| account.kind), kind, "{difference:?}");
        let apart = [&difference.recorded_usd, &difference.proven_usd].map(|usd| usd.parse::<f64>().unwrap());
        assert!(((apart[0] - apart[1]).abs() - 1e-9).abs() < 1e-12, "{difference:?}");
    }
    // A charge inside a line: the account of that charge, and the line's own sum where it is the payer's.
    let path = |value| {
        format!(
            "UPDATE lines SET charges = jsonb_set(charges, '{{0,charged}}', '{value}') WHERE kind = 'attempt'"
        )
    };
    let proof = plane.tampered(&path("101"), &path("100")).await;
    let found: Vec<_> = proof.differences.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(found, ["charged", "line"]);
    assert!(plane.prove().await.holds);
}

#[tokio::test]
async fn an_account_that_vanishes_is_missed() {
    let plane = furnished().await;
    sqlx::query("DELETE FROM accounts WHERE kind = 7").execute(&plane.pool).await.unwrap();
    let proof = plane.prove().await;
    assert_eq!(proof.differences.len(), 1, "{proof:?}");
    assert_eq!(
        (proof.differences[0].recorded_usd.as_str(), proof.differences[0].proven_usd.as_str()),
        ("0", "0.0000001")
    );
}

#[tokio::test]
async fn lines_and_charges_that_nobody_could_have_booked_are_differences_too() {
    let plane = furnished().await;
    for (id, charge, charges, what, line, account) in [
        (
            "00000000-0000-4000-8000-000000000001",
            5,
            "[]",
            "line",
            "00000000-0000-4000-8000-000000000001 1",
            None,
        ),
        (
            "019396a0-0000-4000-8000-000000000002",
            7,
            r#"[{"kind": 99, "owner": "who", "period": "all", "charged": 7}]"#,
            "charged",
            "",
            Some((99, "who")),
        ),
        ("019396a0-0000-7000-8000-000000000003", 7, r#"[{"charged": 7}]"#, "charged", "", Some((0, ""))),
    ] {
        for day in ["1970-01-01", "2024-12-05"] {
            sqlx::query("SELECT ensure_partitions($1::date)").bind(day).execute(&plane.pool).await.unwrap();
        }
        let insert = format!(
            "INSERT INTO lines (id, attempt, kind, tenant, charge_nano, charges)
             VALUES ('{id}', 1, 'attempt', 'acme', {charge}, '{charges}')"
        );
        let proof = plane.tampered(&insert, &format!("DELETE FROM lines WHERE id = '{id}'")).await;
        assert_eq!((proof.holds, proof.differences.len()), (false, 1), "{proof:#?}");
        let found = &proof.differences[0];
        let named = found.account.as_ref().map(|account| (account.kind, account.owner.as_str()));
        assert_eq!((found.what.as_str(), found.line.as_str(), named), (what, line, account), "{found:?}");
    }
    assert!(plane.prove().await.holds);
}
