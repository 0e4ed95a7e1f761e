//! Usage as people read it: generations, ledger lines, accounts.

use prost_types::Timestamp;
use switchyard_proto::{id::GenerationId, v1};
use switchyard_tests::admin::AdminPort;
use tonic::Code;
use uuid::Uuid;

/// A UUIDv7 of so many seconds ago.
fn id_of_the_past(seconds: u64) -> Uuid {
    let now = GenerationId::generate();
    let ms = u128::from(now.admitted_ms() - seconds * 1000);
    Uuid::from_u128((ms << 80) | (now.as_uuid().as_u128() & ((1 << 80) - 1)))
}

fn seconds_ago(seconds: u64) -> Option<Timestamp> {
    let now = i64::try_from(GenerationId::generate().admitted_ms() / 1000).unwrap();
    Some(Timestamp { seconds: now - i64::try_from(seconds).unwrap(), nanos: 0 })
}

/// Books an attempt's line and its generation by hand.
async fn book(port: &AdminPort, id: Uuid, (tenant, key, model): (&str, &str, &str)) -> String {
    sqlx::query(
        "INSERT INTO lines (id, attempt, kind, tenant, key, payer_kind, payer_owner, payer_period, model, endpoint,
             provider, prompt_tokens, completion_tokens, cost_nano, charge_nano, reserved_nano, provenance,
             price_incarnation, price_revision, outcome, ended_at, instance, epoch)
         SELECT $1, attempt, 'attempt', $2, $3, 1, $2, 'all', $4, 'e', 'p', 10, 20, 30, 40, 50, 1, 'i', 7, 'ok', now(),
             'dp', 3 FROM generate_series(1, 2) AS attempt",
    )
    .bind(id)
    .bind(tenant)
    .bind(key)
    .bind(model)
    .execute(&port.pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO generations (id, instance, region, tenant, key, requested_model, model, provider, upstream_id,
             surface, streamed, cancelled, status, error_type, finish_reason, native_finish_reason, prompt_tokens,
             cached_tokens, cache_write_tokens, cache_write_1h_tokens, completion_tokens, reasoning_tokens,
             audio_prompt_tokens, images, cost_nano, charge_nano, attempts, admitted_at, first_content_ms,
             duration_ms, config_incarnation, config_revision, user_id, session_id, app_title, app_url, user_agent,
             trace_id, decision)
         VALUES ($1, 'dp', 'eu', $2, $3, 'm', $4, 'p', 'm', 'chat_completions', true, false, 200, '', 'stop', 'end_turn',
             10, 1, 2, 1, 20, 5, 0, 0, 30, 1500000000, 2, now(), 11, 12, 'i', 7, 'u', '', '', '', '', 't', '')",
    )
    .bind(id)
    .bind(tenant)
    .bind(key)
    .bind(model)
    .execute(&port.pool)
    .await
    .unwrap();
    GenerationId::from_bytes(id.as_bytes()).unwrap().to_string()
}

async fn generations(port: &AdminPort, request: v1::ListGenerationsRequest) -> Vec<String> {
    let listed: v1::ListGenerationsResponse =
        port.call("UsageService/ListGenerations", &request).await.unwrap();
    listed.generations.into_iter().map(|generation| generation.id).collect()
}

#[tokio::test]
async fn generations_are_listed_newest_first_and_filtered() {
    let port = AdminPort::start().await.unwrap();
    let old = book(&port, id_of_the_past(60), ("acme", "key_1", "a/m")).await;
    let middle = book(&port, id_of_the_past(40), ("acme", "key_2", "a/n")).await;
    let new = book(&port, id_of_the_past(20), ("rival", "key_3", "a/m")).await;
    let all = v1::ListGenerationsRequest::default();
    for (request, expected) in [
        (all.clone(), vec![&new, &middle, &old]),
        (v1::ListGenerationsRequest { tenant: "acme".to_owned(), ..all.clone() }, vec![&middle, &old]),
        (v1::ListGenerationsRequest { key: "key_2".to_owned(), ..all.clone() }, vec![&middle]),
        (v1::ListGenerationsRequest { model: "a/m".to_owned(), ..all.clone() }, vec![&new, &old]),
        (v1::ListGenerationsRequest { since: seconds_ago(50), ..all.clone() }, vec![&new, &middle]),
        (v1::ListGenerationsRequest { until: seconds_ago(30), ..all.clone() }, vec![&middle, &old]),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(generations(&port, request).await.iter().collect::<Vec<_>>(), expected, "{shown}");
    }
    let first = v1::ListGenerationsRequest { page_size: 2, ..all };
    let page: v1::ListGenerationsResponse = port.call("UsageService/ListGenerations", &first).await.unwrap();
    let second = v1::ListGenerationsRequest { page_token: page.next_page_token, ..first };
    assert_eq!(generations(&port, second).await, [old]);
}

#[tokio::test]
async fn a_generation_tells_what_it_cost() {
    let port = AdminPort::start().await.unwrap();
    let id = book(&port, id_of_the_past(1), ("acme", "key_1", "a/m")).await;
    let request = v1::GetGenerationRequest { id: id.clone() };
    let found: v1::Generation = port.call("UsageService/GetGeneration", &request).await.unwrap();
    assert_eq!((found.cost_usd.as_str(), found.charge_usd.as_str()), ("0.00000003", "1.5"));
    let tokens = found.tokens.unwrap();
    assert_eq!((tokens.prompt, tokens.cached, tokens.completion, tokens.reasoning), (10, 1, 20, 5));
    assert_eq!(found.config_revision, Some(v1::Revision { incarnation: "i".to_owned(), number: 7 }));
    for (id, code) in [("gen-1", Code::InvalidArgument), ("", Code::InvalidArgument)] {
        let request = v1::GetGenerationRequest { id: id.to_owned() };
        let refused =
            port.call::<_, v1::Generation>("UsageService/GetGeneration", &request).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
    let request = v1::GetGenerationRequest { id: GenerationId::generate().to_string() };
    let refused = port.call::<_, v1::Generation>("UsageService/GetGeneration", &request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test]
async fn lines_are_listed_attempt_by_attempt() {
    let port = AdminPort::start().await.unwrap();
    let old = book(&port, id_of_the_past(60), ("acme", "key_1", "a/m")).await;
    let new = book(&port, id_of_the_past(20), ("acme", "key_1", "a/m")).await;
    let mut request = v1::ListLinesRequest { page_size: 3, ..Default::default() };
    let first: v1::ListLinesResponse = port.call("UsageService/ListLines", &request).await.unwrap();
    request.page_token = first.next_page_token;
    let second: v1::ListLinesResponse = port.call("UsageService/ListLines", &request).await.unwrap();
    let places: Vec<(String, u32)> =
        first.lines.iter().chain(&second.lines).map(|line| (line.id.clone(), line.attempt)).collect();
    assert_eq!(places, [(new.clone(), 2), (new, 1), (old.clone(), 2), (old.clone(), 1)]);
    assert_eq!(second.next_page_token, "");
    let line = &second.lines[0];
    let payer = v1::AccountPeriod {
        kind: v1::AccountKind::TenantCredits.into(),
        owner: "acme".to_owned(),
        period: "all".to_owned(),
    };
    assert_eq!((line.kind.as_str(), line.payer.clone()), ("attempt", Some(payer)));
    assert_eq!(line.provenance(), v1::Provenance::ProviderFinal);
    let request = v1::ListLinesRequest { generation: old, ..Default::default() };
    let only: v1::ListLinesResponse = port.call("UsageService/ListLines", &request).await.unwrap();
    assert_eq!(only.lines.len(), 2);
}

#[tokio::test]
async fn accounts_are_listed_with_their_balances() {
    let port = AdminPort::start().await.unwrap();
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant, limit_nano, charged, presumed, lent)
         VALUES (1, 'acme', 'all', 'acme', 10000000000, 1, 2, 3), (3, 'key_1', '2026-11', 'acme', NULL, 4, 0, 0),
             (1, 'rival', 'all', 'rival', 5, 0, 0, 0)",
    )
    .execute(&port.pool)
    .await
    .unwrap();
    let mut request =
        v1::ListAccountsRequest { tenant: "acme".to_owned(), page_size: 1, ..Default::default() };
    let first: v1::ListAccountsResponse = port.call("UsageService/ListAccounts", &request).await.unwrap();
    let account = &first.accounts[0];
    assert_eq!((account.limit_usd.as_str(), account.lent_usd.as_str()), ("10", "0.000000003"));
    request.page_token = first.next_page_token;
    let second: v1::ListAccountsResponse = port.call("UsageService/ListAccounts", &request).await.unwrap();
    let account = &second.accounts[0];
    assert_eq!((account.limit_usd.as_str(), account.charged_usd.as_str()), ("", "0.000000004"));
    assert_eq!(
        (account.account.clone().unwrap().owner, second.next_page_token),
        ("key_1".into(), String::new())
    );
}
