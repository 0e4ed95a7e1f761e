//! The bodies of events. Pure. Amounts are decimal strings of dollars, as everywhere in the admin API.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use switchyard_proto::{money, v1};
use uuid::Uuid;

use crate::{
    domain::webhook::{BUDGET_THRESHOLD, CREDITS_LOW},
    store::{
        alert::{Crossing, LOW_BALANCE},
        delivery::NewDelivery,
    },
};

/// The event of a threshold that was reached.
pub fn of_crossing(crossing: &Crossing, now: DateTime<Utc>) -> NewDelivery {
    let left = crossing.limit_nano.saturating_sub(crossing.used_nano);
    let (kind, data) = if crossing.threshold == LOW_BALANCE {
        let data = json!({
            "tenant": crossing.tenant,
            "left_usd": money::signed(left),
            "low_balance_usd": money::signed(crossing.low_balance_nano),
        });
        (CREDITS_LOW, data)
    } else {
        let data = json!({
            "tenant": crossing.tenant,
            "account": {
                "kind": account_kind(crossing.kind),
                "owner": crossing.account,
                "period": crossing.period,
            },
            "threshold_percent": crossing.threshold,
            "limit_usd": money::signed(crossing.limit_nano),
            "used_usd": money::signed(crossing.used_nano),
            "left_usd": money::signed(left),
        });
        (BUDGET_THRESHOLD, data)
    };
    NewDelivery {
        id: Uuid::now_v7(),
        owner: crossing.owner.clone(),
        webhook: crossing.webhook.clone(),
        kind,
        body: body(kind, &data, now),
    }
}

/// The body of an event.
fn body(kind: &str, data: &Value, now: DateTime<Utc>) -> String {
    let timestamp = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    json!({"type": kind, "timestamp": timestamp, "data": data}).to_string()
}

/// `key_limit` and so on: the wire's names in small letters.
fn account_kind(kind: i16) -> String {
    let kind = v1::AccountKind::try_from(i32::from(kind)).unwrap_or_default();
    kind.as_str_name().trim_start_matches("ACCOUNT_KIND_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(threshold: i32, low_balance_nano: i64) -> Crossing {
        Crossing {
            owner: String::new(),
            webhook: "ops".into(),
            kind: 3,
            account: "key_1".into(),
            period: "2026-11".into(),
            tenant: "acme".into(),
            limit_nano: 5_000_000_000,
            used_nano: 4_000_000_001,
            threshold,
            low_balance_nano,
            is_reached: true,
        }
    }

    #[test]
    fn events_say_whose_account_and_how_much_is_left() {
        let now = DateTime::from_timestamp(1_764_547_200, 5_000_000).unwrap();
        let event = of_crossing(&crossing(80, 0), now);
        assert_eq!(
            serde_json::from_str::<Value>(&event.body).unwrap(),
            json!({"type": "budget.threshold", "timestamp": "2025-12-01T00:00:00.005Z", "data": {
                "tenant": "acme",
                "account": {"kind": "key_limit", "owner": "key_1", "period": "2026-11"},
                "threshold_percent": 80, "limit_usd": "5", "used_usd": "4.000000001", "left_usd": "0.999999999",
            }})
        );
        let low = of_crossing(&crossing(LOW_BALANCE, 1_000_000_000), now);
        assert_eq!(
            serde_json::from_str::<Value>(&low.body).unwrap()["data"],
            json!({"tenant": "acme", "left_usd": "0.999999999", "low_balance_usd": "1"})
        );
        assert_eq!((event.kind, low.kind), ("budget.threshold", "credits.low"));
    }
}
