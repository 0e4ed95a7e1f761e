//! Statements: a tenant's credits over a month are what the ledger adds up to.

use super::*;

async fn credits(port: &AdminPort, usd: &str, kind: v1::CreditKind) {
    let request = v1::AdjustCreditsRequest {
        id: "acme".to_owned(),
        usd: usd.to_owned(),
        reason: "because".to_owned(),
        kind: kind.into(),
        ..Default::default()
    };
    port.call::<_, v1::Tenant>("TenantService/AdjustCredits", &request).await.unwrap();
}

#[tokio::test]
async fn a_statement_is_what_the_ledger_adds_up_to() {
    clear_of_midnight().await;
    let port = AdminPort::start().await.unwrap();
    let tenant = v1::Tenant { id: "acme".to_owned(), ..Default::default() };
    let request = v1::CreateTenantRequest { tenant: Some(tenant), credits_usd: "10".to_owned() };
    port.call::<_, v1::CreateTenantResponse>("TenantService/CreateTenant", &request).await.unwrap();
    credits(&port, "5", v1::CreditKind::TopUp).await;
    credits(&port, "-2", v1::CreditKind::Refund).await;
    credits(&port, "0.5", v1::CreditKind::Adjustment).await;
    let [(month, now), (last_month, before)] = months();
    book(&port, Request { at: now, charged: 1_000_000_007, ..Request::default() }).await;
    book(&port, Request { at: before, charged: 500_000_000, ..Request::default() }).await;
    for round in ["before", "after"] {
        let one = statement(&port, &month).await;
        let shown = [
            &one.opening_usd,
            &one.top_ups_usd,
            &one.adjustments_usd,
            &one.refunds_usd,
            &one.charges_usd,
            &one.closing_usd,
        ];
        assert_eq!(shown, ["-0.5", "15", "0.5", "-2", "1.000000007", "11.999999993"], "{round}");
        let moved: Vec<_> = one.movements.iter().map(|one| (one.kind(), one.usd.as_str())).collect();
        use v1::CreditKind::{Adjustment, Refund, TopUp};
        assert_eq!(moved, [(TopUp, "10"), (TopUp, "5"), (Refund, "-2"), (Adjustment, "0.5")]);
        assert!(!one.is_over && one.movements.iter().all(|one| !one.actor.is_empty()));
        let last = statement(&port, &last_month).await;
        assert_eq!((last.closing_usd, last.charges_usd), (one.opening_usd, "0.5".to_owned()), "{round}");
        assert!(last.is_over);
        roll_up(&port).await;
    }
    let tenant: v1::Tenant =
        port.call("TenantService/GetTenant", &v1::GetTenantRequest { id: "acme".to_owned() }).await.unwrap();
    assert_eq!(tenant.credits_left_usd, "11.999999993", "the balance is the statement's");
    proof_holds(&port).await;
    let refused = v1::GetStatementRequest { tenant: "acme".to_owned(), month: "2026".to_owned() };
    let refused = port.call::<_, v1::Statement>("UsageService/GetStatement", &refused).await.unwrap_err();
    assert!(refused.message().starts_with("month"), "{refused:?}");
}
