//! Reports and statements, to proto and from it.

use chrono::{DateTime, Days, NaiveDate, Utc};
use switchyard_proto::{
    money,
    v1::{
        self, CreditMovement, ReportUsageRequest, ReportUsageResponse, Statement as StatementMessage,
        UsageRow,
    },
};

use crate::{
    domain::{
        invalid::Invalid,
        report::{CreditKind, Dimension, Movement, Question, Report, Row, Statement, Sums},
        usage::Tokens,
    },
    grpc::common::{tenant, time, timestamp, tokens},
};

/// Days before today that are reported unless more are asked for.
const LAST: Days = Days::new(30);

/// Reads what is asked.
///
/// # Errors
/// Names the field.
pub fn question(ask: ReportUsageRequest, now: DateTime<Utc>) -> Result<Question, Invalid> {
    let today = now.date_naive();
    let since = time("since", ask.since.as_ref())?.map(|at| at.date_naive());
    let until = time("until", ask.until.as_ref())?.map_or(today, |at| at.date_naive());
    let from = since.unwrap_or_else(|| today.checked_sub_days(LAST).unwrap_or(today));
    let given = |text: String| (!text.is_empty()).then_some(text);
    Ok(Question {
        by: Dimension::read_all(&ask.by)?,
        from,
        until: next(until),
        tenant: tenant(ask.tenant),
        key: given(ask.key),
        model: given(ask.model),
        provider: given(ask.provider),
        user: given(ask.user),
    })
}

fn next(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

/// A report as a message.
pub fn from_report(report: Report) -> ReportUsageResponse {
    let last = report.until.checked_sub_days(Days::new(1)).unwrap_or(report.until);
    ReportUsageResponse {
        rows: report.rows.into_iter().map(from_row).collect(),
        total: Some(from_row(Row { sums: report.total, ..Row::default() })),
        since: report.from.to_string(),
        until: last.to_string(),
        complete_until: timestamp(report.complete_until),
    }
}

fn from_row(row: Row) -> UsageRow {
    let Sums { requests, errors, attempts, cost_nano, charge_nano, byok_cost_nano, .. } = row.sums;
    let used = Tokens {
        prompt: row.sums.prompt,
        cached: row.sums.cached,
        cache_write: row.sums.cache_write,
        completion: row.sums.completion,
        reasoning: row.sums.reasoning,
        images: row.sums.images,
        ..Tokens::default()
    };
    UsageRow {
        day: row.day.map(|day| day.to_string()).unwrap_or_default(),
        tenant: row.tenant,
        key: row.key,
        model: row.model,
        provider: row.provider,
        user: row.user,
        requests,
        errors,
        attempts,
        tokens: Some(tokens(used)),
        cost_usd: money::signed(cost_nano),
        charge_usd: money::signed(charge_nano),
        byok_cost_usd: money::signed(byok_cost_nano),
    }
}

/// A statement as a message.
pub fn from_statement(statement: Statement) -> StatementMessage {
    StatementMessage {
        tenant: statement.tenant.to_string(),
        month: statement.month.to_string(),
        opening_usd: money::signed(statement.opening_nano),
        top_ups_usd: money::signed(statement.moved.topped_up),
        adjustments_usd: money::signed(statement.moved.adjusted),
        refunds_usd: money::signed(statement.moved.refunded),
        charges_usd: money::signed(statement.moved.charged),
        presumed_usd: money::signed(statement.moved.presumed),
        closing_usd: money::signed(statement.closing_nano()),
        is_over: statement.is_over,
        movements: statement.movements.into_iter().map(from_movement).collect(),
    }
}

fn from_movement(movement: Movement) -> CreditMovement {
    CreditMovement {
        at: timestamp(movement.at),
        kind: credit_kind(movement.kind).into(),
        usd: money::signed(movement.amount_nano),
        reason: movement.reason,
        actor: movement.actor,
    }
}

/// A kind of credit line as the wire has it.
pub fn credit_kind(kind: CreditKind) -> v1::CreditKind {
    match kind {
        CreditKind::TopUp => v1::CreditKind::TopUp,
        CreditKind::Adjustment => v1::CreditKind::Adjustment,
        CreditKind::Refund => v1::CreditKind::Refund,
    }
}
