//! Reports: sums by what is asked for, current whether they are rolled up or not.

use prost_types::Timestamp;

use super::*;

#[tokio::test]
async fn reports_say_the_same_before_and_after_the_roll_up() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    let yesterday = days_ago(1);
    for request in [
        Request { user: "ann", ..Request::default() },
        Request { user: "ann", model: "a/n", charged: 20, status: 500, ..Request::default() },
        Request { user: "bob", key: "key_2", at: yesterday, ..Request::default() },
        Request { at: days_ago(60), charged: 1000, ..Request::default() },
    ] {
        book(&port, request).await;
    }
    let today = clock::now().date_naive().to_string();
    let yesterday = yesterday.date_naive().to_string();
    let row =
        |place: &str, requests, errors, attempts, usd| (place.to_owned(), requests, errors, attempts, usd);
    let mut expected = vec![
        (by(&[]), vec![row("|||||", 3, 1, 6, "0.00000004")]),
        (
            by(&["model"]),
            vec![row("|||a/m||", 2, 0, 4, "0.00000002"), row("|||a/n||", 1, 1, 2, "0.00000002")],
        ),
        (
            by(&["key"]),
            vec![row("||key_1|||", 2, 1, 4, "0.00000003"), row("||key_2|||", 1, 0, 2, "0.00000001")],
        ),
        (by(&["provider"]), vec![row("||||p|", 3, 1, 3, "0.00000004"), row("||||q|", 0, 0, 3, "0")]),
        (by(&["user"]), vec![row("|||||ann", 2, 1, 4, "0.00000003"), row("|||||bob", 1, 0, 2, "0.00000001")]),
        (by(&["tenant"]), vec![row("|acme||||", 3, 1, 6, "0.00000004")]),
    ];
    let day = |day: &str, requests, errors, attempts, usd| {
        row(&format!("{day}|||||"), requests, errors, attempts, usd)
    };
    expected.push((
        by(&["day"]),
        vec![day(&yesterday, 1, 0, 2, "0.00000001"), day(&today, 2, 1, 4, "0.00000003")],
    ));
    let narrowed = v1::ReportUsageRequest { user: "ann".into(), model: "a/n".into(), ..by(&["key"]) };
    expected.push((narrowed, vec![row("||key_1|||", 1, 1, 2, "0.00000002")]));
    let elsewhere = v1::ReportUsageRequest { tenant: "rival".into(), ..by(&["model"]) };
    expected.push((elsewhere, Vec::new()));
    for round in ["before", "after"] {
        for (request, rows) in &expected {
            let answer = report(&port, request).await;
            assert_eq!(&shown(&answer), rows, "{round}: {request:?}");
            let until = clock::from_timestamp(answer.complete_until.as_ref().unwrap()).unwrap();
            assert!((clock::now() - until).num_seconds() < 60, "{round}: complete until {until}");
        }
        roll_up(&port).await;
    }
    let all = report(&port, &by(&["model"])).await;
    assert_eq!(all.total.unwrap().tokens.unwrap().prompt, 3 * 7);
}

#[tokio::test]
async fn a_report_is_asked_for_by_days_and_names_that_exist() {
    let port = AdminPort::start().await.unwrap();
    for (request, field) in [
        (by(&["model", "hour"]), "by[1]"),
        (by(&["day", "day"]), "by[1]"),
        (
            v1::ReportUsageRequest {
                since: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
                ..Default::default()
            },
            "since",
        ),
    ] {
        let refused =
            port.call::<_, v1::ReportUsageResponse>("UsageService/ReportUsage", &request).await.unwrap_err();
        assert!(refused.message().starts_with(field), "{refused:?}");
    }
}

#[tokio::test]
async fn what_a_tenant_pays_its_providers_itself_is_told_apart() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    port.tenant("acme").await.unwrap();
    port.provider("p", "sk-upstream").await.unwrap();
    port.credential("acme", "mine", "p").await.unwrap();
    let own = r#"[{"kind": 1, "owner": "acme", "period": "all", "charged": 0},
        {"kind": 7, "owner": "key_1", "period": "2026-11-23", "charged": 5}]"#;
    for (credential, cost, charges) in [
        ("operators", 5, "[]"),
        // Lines of today say so themselves, also once their credential is gone.
        ("deleted", 20, own),
        // Those from before do not.
        ("mine", 300, "[]"),
    ] {
        sqlx::query(
            "INSERT INTO lines (id, attempt, kind, tenant, key, model, provider, credential, cost_nano, charges)
             VALUES ($1, 1, 'attempt', 'acme', 'key_1', 'a/m', 'p', $2, $3, $4::jsonb)",
        )
        .bind(GenerationId::generate().as_uuid())
        .bind(credential)
        .bind(cost)
        .bind(charges)
        .execute(&port.pool)
        .await
        .unwrap();
    }
    for _ in 0..2 {
        let row = report(&port, &by(&[])).await.rows.remove(0);
        assert_eq!(
            (row.cost_usd.as_str(), row.byok_cost_usd.as_str(), row.charge_usd.as_str()),
            ("0.000000005", "0.00000032", "0")
        );
        roll_up(&port).await;
    }
}
