//! What a tenant used on days that are over, by model and provider: `/activity`.

use chrono::{Days, NaiveDate};
use switchyard_proto::key::KeyHash;

use crate::{
    account::{Answered, Caller, Service, answer, refusal::Refusal, route::Activity},
    domain::{
        permission::{self, ReadKeys},
        report::{Dimension, Question},
    },
    service,
    store::{self, StoreError},
};

/// Days that are listed; today is not over.
const DAYS: u64 = 30;

impl Service {
    pub(super) async fn activity(&self, caller: &Caller, asked: Activity) -> Answered {
        caller.manages()?;
        caller.is_at(asked.workspace.as_deref())?;
        let (from, until) = days(asked.date, caller.now.date_naive())?;
        let key = match asked.key {
            None => None,
            Some(hash) => Some(self.key_of(caller, hash).await?),
        };
        let question = Question {
            by: vec![Dimension::Day, Dimension::Model, Dimension::Provider],
            from,
            until,
            tenant: Some(caller.tenant.clone()),
            key,
            model: None,
            provider: None,
            user: None,
        };
        let report =
            service::usage::report(&self.state, &caller.presented.actor, question, caller.now).await?;
        let workspace = asked.by_workspace.then_some(&caller.tenant);
        Ok((200, answer::activity(&report.rows, workspace)))
    }

    async fn key_of(&self, caller: &Caller, hash: KeyHash) -> Result<String, Refusal> {
        let allowed = permission::check::<ReadKeys>(&caller.presented.actor, Some(&caller.tenant));
        let allowed = allowed.map_err(|_| Refusal::no_key())?;
        let mut db = self.pool().acquire().await.map_err(StoreError::from)?;
        match store::key::by_hash(&mut db, &allowed, hash).await {
            Ok(key) => Ok(key.id.to_string()),
            Err(StoreError::NotFound) => Err(Refusal::no_key()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The first day, and the one after the last.
fn days(date: Option<NaiveDate>, today: NaiveDate) -> Result<(NaiveDate, NaiveDate), Refusal> {
    let first = today - Days::new(DAYS);
    match date {
        None => Ok((first, today)),
        Some(date) if date < first || date >= today => {
            Err(Refusal::invalid("date", "is not one of the last 30 days that are over, in UTC"))
        }
        Some(date) => Ok((date, date + Days::new(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_the_last_thirty_that_are_over() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let today = day("2026-12-01");
        assert_eq!(days(None, today), Ok((day("2026-11-01"), today)));
        assert_eq!(days(Some(day("2026-11-01")), today), Ok((day("2026-11-01"), day("2026-11-02"))));
        assert_eq!(days(Some(day("2026-11-30")), today), Ok((day("2026-11-30"), today)));
        for wrong in ["2026-10-31", "2026-12-01", "2027-01-01", "0001-01-01"] {
            assert!(days(Some(day(wrong)), today).is_err(), "{wrong}");
        }
    }
}
