//! What a key or an admin token sees of itself and its tenant: `/key` and `/credits`.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};

use crate::{
    account::{Answered, Caller, Service, answer, refusal::Refusal},
    auth::presented::Credential,
    domain::{
        account::{AccountKind, WHOLE_LIFE},
        key::Key,
        permission::{Allowed, ReadUsage},
    },
    store::{
        self, StoreError,
        own::{self, Since},
    },
};

impl Service {
    pub(super) async fn key(&self, caller: &Caller) -> Answered {
        match &caller.presented.with {
            Credential::Token(token) => Ok((200, answer::token(token))),
            Credential::Key(key) => {
                let spending = self.spending(&caller.reads_usage()?, &[key], caller.now).await?;
                Ok((200, answer::key(key, spending.into_iter().next().unwrap_or_default())))
            }
        }
    }

    pub(super) async fn credits(&self, caller: &Caller) -> Answered {
        let allowed = caller.reads_usage()?;
        let mut db = self.pool().acquire().await.map_err(StoreError::from)?;
        let granted = own::credits(&mut db, &allowed).await?;
        let tenant = (caller.tenant.as_str(), WHOLE_LIFE);
        let taken = own::taken(&mut db, &allowed, AccountKind::TenantCredits, &[tenant]).await?;
        Ok((200, answer::credits(granted, taken.values().sum())))
    }

    /// What keys have spent, in their order, as of one moment.
    pub(super) async fn spending(
        &self,
        allowed: &Allowed<ReadUsage>,
        keys: &[&Key],
        now: DateTime<Utc>,
    ) -> Result<Vec<answer::Spending>, Refusal> {
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let limited = keys.iter().filter_map(|key| Some((key, key.draft.limit?)));
        let periods: Vec<(&str, String)> =
            limited.map(|(key, limit)| (key.id.as_str(), limit.reset.period(now))).collect();
        let periods: Vec<(&str, &str)> =
            periods.iter().map(|(key, period)| (*key, period.as_str())).collect();
        let mut db = store::report::reading(self.pool(), allowed).await?;
        let spent = own::spent(&mut db, allowed, &ids, since(now)).await?;
        let byok = own::byok_spent(&mut db, allowed, &ids, since(now)).await?;
        let taken = own::taken(&mut db, allowed, AccountKind::KeyLimit, &periods).await?;
        let of = |id: &&str| answer::Spending {
            spent: spent.get(*id).copied().unwrap_or_default(),
            byok: byok.get(*id).copied().unwrap_or_default(),
            taken: taken.get(*id).copied().unwrap_or_default(),
        };
        Ok(ids.iter().map(of).collect())
    }
}

/// Where the running day, week (from Monday) and month began, in UTC.
fn since(now: DateTime<Utc>) -> Since {
    let today = now.date_naive();
    let week = today - Days::new(today.weekday().num_days_from_monday().into());
    let month = today.with_day(1).unwrap_or(today);
    let start = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    Since { day: start(today), week: start(week), month: start(month) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_begin_on_monday_and_everything_at_midnight() {
        let since = since("2026-11-22T23:59:59Z".parse().unwrap());
        let shown = [since.day, since.week, since.month].map(|at| at.to_rfc3339());
        assert_eq!(
            shown,
            ["2026-11-22T00:00:00+00:00", "2026-11-16T00:00:00+00:00", "2026-11-01T00:00:00+00:00"]
        );
    }
}
