//! Which accounts an attempt bills, and how a caller is told that one of them is used up.
//!
//! Pure. Reserving and settling are `limits`' business; which side of an attempt an account counts, and the status when it
//! is used up, are in the one table `proto::account`.

use std::fmt::Write;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use switchyard_proto::code::ErrorCode;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1::{self, AccountKind};
use switchyard_proto::window::Window;

use crate::config::snapshot::{Credential, Endpoint, Limit};
use crate::error::RequestError;
use crate::identity::Caller;
use crate::limits::{Account, Due, Period};
use crate::price::WorstCase;

/// Longest user in an account's name; a longer one is hashed.
const LONGEST_USER: usize = 100;

/// Who pays for an attempt, and when.
#[derive(Clone, Copy)]
pub struct Payers<'a> {
    pub caller: &'a Caller,
    /// The request's `user`.
    pub user: Option<&'a str>,
    /// When the request was admitted: its period is that of all its attempts.
    pub at: DateTime<Utc>,
}

impl Payers<'_> {
    /// The accounts that an attempt is counted against; the first is the payer of record.
    ///
    /// After it come budgets, the broadest first, then limits that are closer to the caller: of several that are used up the
    /// caller hears of the first.
    pub fn charges(
        &self,
        credential: Option<&Credential>,
        endpoint: &Endpoint,
        worst: &WorstCase,
    ) -> Vec<Due> {
        let caller = self.caller;
        let leased = |account, amount| Due { account, amount, leased: true };
        let payer =
            Due { account: credits(caller), amount: worst.charge, leased: caller.tenant.config.prepaid };
        let mut charges = vec![payer];
        charges.extend(self.budgets().map(|account| leased(account, worst.charge)));
        charges.extend(self.key_limit().map(|account| leased(account, worst.charge)));
        charges.extend(self.user_budgets().map(|(account, _)| leased(account, worst.charge)));
        if let (Some(limit), Some(credential)) = (endpoint.provider.credential_budget, credential) {
            let owner = credential.id.clone();
            let period = Period::at(limit.reset, self.at);
            let account = Account { kind: AccountKind::CredentialBudget, owner, period };
            charges.push(leased(account, worst.cost));
        }
        charges
    }

    /// The same where the tenant pays the provider itself: nothing is taken from its credits, its budgets and limits count
    /// the cost only where they say so, and what its credentials were billed is counted apart.
    pub fn byok_charges(&self, worst: &WorstCase) -> Vec<Due> {
        let caller = self.caller;
        let of_tenant = caller.tenant.config.include_byok_in_budgets;
        let of_key = caller.key.config.include_byok_in_limit;
        let counted = |account| Due { account, amount: worst.cost, leased: true };
        let mut charges = vec![Due { account: credits(caller), amount: NanoUsd::ZERO, leased: false }];
        charges.extend(self.budgets().filter(|_| of_tenant).map(counted));
        charges.extend(self.key_limit().filter(|_| of_key).map(counted));
        let users =
            self.user_budgets().filter(|(_, of_one_key)| if *of_one_key { of_key } else { of_tenant });
        charges.extend(users.map(|(account, _)| counted(account)));
        let owner = caller.key.id.as_str().into();
        let period = Period::at(v1::Reset::Daily, self.at);
        let account = Account { kind: AccountKind::ByokUsage, owner, period };
        charges.push(Due { account, amount: worst.cost, leased: false });
        charges
    }

    /// The caller's accounts that have a limit.
    pub fn limited(&self) -> Vec<Account> {
        let credits = self.caller.tenant.config.prepaid.then(|| credits(self.caller));
        let users = self.user_budgets().map(|(account, _)| account);
        credits.into_iter().chain(self.budgets()).chain(self.key_limit()).chain(users).collect()
    }

    fn budgets(&self) -> impl Iterator<Item = Account> {
        let tenant = &self.caller.tenant;
        tenant.budgets.iter().map(|budget| {
            let (owner, period) = (tenant.id.as_str().into(), Period::of(budget.window, self.at));
            Account { kind: AccountKind::TenantBudget, owner, period }
        })
    }

    fn key_limit(&self) -> Option<Account> {
        let key = &self.caller.key;
        let period = Period::at(key.limit?.reset, self.at);
        Some(Account { kind: AccountKind::KeyLimit, owner: key.id.as_str().into(), period })
    }

    /// The user's accounts, where the key trusts the request to name it; and whether each is of that key alone.
    ///
    /// Requests without a user are one user's, so that leaving it out gets nobody around the limit.
    fn user_budgets(&self) -> impl Iterator<Item = (Account, bool)> {
        let Caller { tenant, key } = self.caller;
        let limits = [(tenant.user_limit, ""), (key.user_limit, key.id.as_str())];
        let trusted = limits.into_iter().filter(|_| key.config.trust_user);
        trusted.filter_map(|(limit, of)| {
            let owner = user_owner(tenant.id.as_str(), of, self.user.unwrap_or_default());
            let period = Period::at(limit?.reset, self.at);
            Some((Account { kind: AccountKind::UserBudget, owner, period }, !of.is_empty()))
        })
    }
}

fn credits(caller: &Caller) -> Account {
    let owner = caller.tenant.id.as_str().into();
    Account { kind: AccountKind::TenantCredits, owner, period: Period::All }
}

/// `tenant/key/user`. What a user's name may hold is anybody's choice: everything but plain characters is escaped, and a
/// long one hashed.
fn user_owner(tenant: &str, key: &str, user: &str) -> Arc<str> {
    let mut name = String::with_capacity(user.len());
    for byte in user.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'@' | b'+' | b':' => {
                name.push(char::from(byte));
            }
            _ => write!(name, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    if name.len() > LONGEST_USER {
        // No escaped name begins so.
        name = format!("#{}", hex(&Sha256::digest(user.as_bytes())));
    }
    format!("{tenant}/{key}/{name}").into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether any limit counts what the tenant pays with its own credentials.
pub fn counts_byok(caller: &Caller) -> bool {
    let Caller { tenant, key } = caller;
    let of_users = |limit: &Option<Limit>| key.config.trust_user && limit.is_some();
    let of_key = key.config.include_byok_in_limit && (key.limit.is_some() || of_users(&key.user_limit));
    let of_tenant =
        tenant.config.include_byok_in_budgets && (!tenant.budgets.is_empty() || of_users(&tenant.user_limit));
    of_key || of_tenant
}

/// Whether money that was lent is at stake in an attempt, so that the provider is held to the output cap.
pub fn is_bound(caller: &Caller, endpoint: &Endpoint, is_byok: bool) -> bool {
    if is_byok {
        return counts_byok(caller);
    }
    let Caller { tenant, key } = caller;
    let of_users = key.config.trust_user && (tenant.user_limit.is_some() || key.user_limit.is_some());
    let of_caller = key.limit.is_some() || tenant.config.prepaid || !tenant.budgets.is_empty() || of_users;
    of_caller || endpoint.provider.credential_budget.is_some()
}

/// What a caller hears of an account that cannot cover a request: how many tokens of its output, or of its prompt, could be
/// afforded of those that it may come to.
pub fn short(
    account: &Account,
    limit: NanoUsd,
    (affordable_tokens, asked_tokens): (u64, u64),
    what: &str,
) -> RequestError {
    let (rule, used_up) = (account.kind.rule(), used_up(account, limit));
    let asks = if what == "output" { "asks for" } else { "has" };
    let text = match affordable_tokens < asked_tokens {
        true => format!(
            "{used_up}: the request {asks} up to {asked_tokens} {what} tokens, {affordable_tokens} can be afforded."
        ),
        // It costs nothing, and is refused all the same.
        false => format!("{used_up}: the balance is below zero."),
    };
    RequestError::new(rule.refusal, text)
        .with("limit_source", rule.source)
        .with("affordable_tokens", affordable_tokens)
}

/// What a caller hears of an answer that ended because an account covered no more of it.
pub fn ended(account: &Account, limit: NanoUsd) -> RequestError {
    let text = format!("{}: the answer ends here. What was produced is charged.", used_up(account, limit));
    RequestError::new(ErrorCode::BudgetExhausted, text).with("limit_source", account.kind.rule().source)
}

fn used_up(account: &Account, limit: NanoUsd) -> String {
    match account.kind {
        AccountKind::TenantCredits => "Insufficient credits".to_owned(),
        AccountKind::KeyLimit => "The limit of this API key is reached".to_owned(),
        AccountKind::UserBudget => format!("User {} exceeded", budget(account, limit)),
        AccountKind::TenantBudget => format!("Tenant {} exceeded", budget(account, limit)),
        _ => "A budget is used up".to_owned(),
    }
}

/// `monthly budget of $500.00`, `budget of $20.00 per 24 hours`.
fn budget(account: &Account, limit: NanoUsd) -> String {
    let limit = dollars(limit);
    match Window::of_period(&account.period.to_string()) {
        Some(Window::Rolling(rolling)) => format!("budget of {limit} per {}", rolling.in_words()),
        Some(window) => format!("{window} budget of {limit}"),
        None => format!("budget of {limit}"),
    }
}

/// With cents, and with more decimal places where there are any.
fn dollars(amount: NanoUsd) -> String {
    let text = amount.to_string();
    let places = text.split_once('.').map_or(0, |(_, places)| places.len());
    match places {
        0 => format!("${text}.00"),
        1 => format!("${text}0"),
        _ => format!("${text}"),
    }
}

#[cfg(test)]
mod tests;
