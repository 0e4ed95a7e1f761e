//! May they: admission of a request, and for each attempt the encoded request beside the money that covers it.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use switchyard_proto::clock;
use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::CredentialId;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1::AccountKind;

use crate::adapters::{Encoded, Target, Unsupported, tasks};
use crate::config::snapshot::{Credential, Endpoint};
use crate::error::{RequestError, Side};
use crate::identity::Caller;
use crate::judge::Fault;
use crate::limits::{
    Account, Admission, AdmitError, Due, Hold, Owner, Passage, Permit, Rates, Reservation, ReserveError,
    Scope,
};
use crate::model::media::Fetched;
use crate::model::request::ChatRequest;
use crate::pipeline::cap::Cap;
use crate::pipeline::charges::{self, Payers};
use crate::pipeline::rates::{self, Entered};
use crate::pipeline::reply::{Gone, Reply};
use crate::pipeline::steps::Steps;
use crate::pipeline::trail::Trail;
use crate::pipeline::{Job, Pipeline};
use crate::price::WorstCase;
use crate::routing::health::Shut;
use crate::routing::plan::Candidate;
use crate::routing::refusal;
use crate::upstream::attempt::Failed;
use crate::usage::record::Facts;

/// Tells a provider which attempt a call is. OpenAI logs it, others ignore it: with it a provider's records can be held
/// against the ledger, also where its answer never came.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// An attempt that may be sent.
pub struct Ready {
    /// In the order of sending; mostly one.
    pub calls: Vec<Encoded>,
    /// None without governance.
    pub hold: Option<Hold>,
    pub credential: Option<Credential>,
    /// The attempt's, from 1: that of its ledger line.
    pub number: u32,
    /// The output cap, where money made it lower than the endpoint's own.
    pub lowered_cap: Option<u64>,
    /// Where money is taken while the answer comes.
    pub steps: Option<Steps>,
}

/// What the attempts of a request have in common.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// None without governance.
    pub permit: Option<&'a Permit>,
    pub fetched: &'a Fetched,
    /// Whether more money can be taken while an answer comes.
    pub may_step: bool,
}

/// Why a candidate was not tried, or what became of the try.
#[derive(Debug)]
pub enum Skip {
    Unsupported(Unsupported, Arc<Endpoint>),
    /// Something behind a caller's URL cannot be had, and this provider cannot read it itself.
    Media(Box<RequestError>),
    /// The caller left, or the process stopped, while the candidate was made ready.
    Gone(Gone),
    /// Money does not cover the worst case; so many output tokens would be covered, or tokens of the prompt where nothing is
    /// put out.
    Budget {
        account: Account,
        limit: NanoUsd,
        affordable_tokens: u64,
        asked_tokens: u64,
        /// Whose tokens: `output` or `prompt`.
        of: &'static str,
    },
    /// Every credential of the provider has used up its budget.
    CredentialBudget,
    Refused(ReserveError),
    /// Its model, or what its provider is shown, is at its rate.
    Limited(AdmitError, Arc<Endpoint>),
    Failed(Box<Failed>, Arc<Endpoint>),
    /// Its breaker is open, or its provider asked to wait.
    Shut(Shut, Arc<Endpoint>),
    /// It answered, and the policy does not take the answer.
    Faulty(Fault, Arc<Endpoint>),
}

impl Skip {
    /// Whether no other candidate can do better: they would all be refused alike.
    pub fn ends_the_request(&self) -> bool {
        matches!(self, Self::Refused(ReserveError::Journal(_)) | Self::Gone(_))
    }
}

/// Takes the request's rate slots; none without governance. The answer's head says how the caller's rates stand.
///
/// # Errors
/// 429 with the limit's name and when to try again.
pub async fn admit(
    pipeline: &Pipeline,
    caller: &Caller,
    request: &ChatRequest,
    reply: &mut Reply,
) -> Result<Option<Permit>, RequestError> {
    match admit_for(pipeline, caller, rates::expected_tokens(request)).await {
        Ok(permit) => {
            rates::tell(reply, permit.as_ref().map_or(&[], Permit::levels));
            Ok(permit)
        }
        Err(error) => {
            let AdmitError::Limited { level, .. } = &error;
            rates::tell(reply, level.as_slice());
            Err(error.into())
        }
    }
}

/// Takes a caller's rate slots for a request of so many tokens; none without governance.
///
/// # Errors
/// The limit that is reached.
pub async fn admit_for(
    pipeline: &Pipeline,
    caller: &Caller,
    tokens: u64,
) -> Result<Option<Permit>, AdmitError> {
    if !pipeline.settings.governance {
        return Ok(None);
    }
    let (tenant, key) = (&caller.tenant, &caller.key);
    let owners = [
        (Owner::Key(&tenant.id, &key.id), Rates::from(key.config.rates.as_ref())),
        (Owner::Tenant(&tenant.id), Rates::from(tenant.config.rates.as_ref())),
    ];
    pipeline.limits.admit(&Admission { owners: &owners, tokens }).await.map(Some)
}

/// What a candidate is tried with: a credential, and the rates that the attempt is sent under.
struct Entry {
    credential: Option<Credential>,
    passages: Vec<Arc<Passage>>,
}

/// Takes a candidate's room in the rates of its model and of what its provider is shown. Of several credentials another
/// one is taken where the first is at its rate; `spent` are those whose budget is used up.
async fn enter<'a>(
    pipeline: &Pipeline,
    job: &Job<'_>,
    candidate: &'a Candidate,
    (is_governed, spent): (bool, &[Arc<str>]),
    entered: &mut Entered<'a>,
) -> Result<Entry, Skip> {
    let (endpoint, own) = (&candidate.endpoint, &candidate.credential);
    let pool = match own {
        Some(_) => &[][..],
        None => &endpoint.provider.credentials[..],
    };
    let is_usable = |credential: &Credential| {
        pipeline.health.credential_usable(&CredentialId::new(credential.id.clone()))
    };
    let mut left: Vec<&Credential> =
        pool.iter().filter(|credential| !spent.contains(&credential.id)).collect();
    if !spent.is_empty() {
        // A refusal would hide that there is one with room later.
        left.retain(|credential| is_usable(credential));
        if left.is_empty() {
            return Err(Skip::CredentialBudget);
        }
    }
    let first = match own {
        Some(own) => own.secret.as_ref(),
        None => pick(&left, is_usable, job.plan.seed),
    };
    if !is_governed {
        return Ok(Entry { credential: first.cloned(), passages: Vec::new() });
    }
    let limited = |error| Skip::Limited(error, endpoint.clone());
    let (limits, tokens) = (&pipeline.limits, rates::expected_tokens(job.request));
    let mut shown = first;
    let own_passage = loop {
        match rates::show(limits, endpoint, shown, tokens).await {
            Ok(passage) => break passage,
            Err(error) => {
                left.retain(|other| shown.is_none_or(|shown| other.id != shown.id));
                match pick(&left, is_usable, job.plan.seed) {
                    Some(next) if shown.is_some() && is_usable(next) => shown = Some(next),
                    _ => return Err(limited(error)),
                }
            }
        }
    };
    let of_model = entered.enter(limits, &candidate.model, tokens).await.map_err(limited)?;
    let passages = own_passage.into_iter().chain(of_model).collect();
    Ok(Entry { credential: shown.cloned(), passages })
}

/// Encodes a request for one candidate and reserves its worst case.
///
/// # Errors
/// [`Skip`] says why the candidate is not to be tried.
pub async fn reserve<'a>(
    pipeline: &Pipeline,
    job: &Job<'_>,
    candidate: &'a Candidate,
    Given { permit, fetched, may_step }: Given<'_>,
    entered: &mut Entered<'a>,
    trail: &mut Trail,
) -> Result<Ready, Skip> {
    let endpoint = &candidate.endpoint;
    let mut cap = Cap::of(endpoint, candidate.is_byok(), job, pipeline.settings.leases.default_output_tokens);
    let mut calls = encode(job, endpoint, cap.injected(job.request), fetched)?;
    let mut entry = enter(pipeline, job, candidate, (permit.is_some(), &[]), entered).await?;
    let number = trail.reserved + 1;
    let Some(permit) = permit else {
        trail.reserved = number;
        let credential = entry.credential;
        return Ok(Ready { calls, hold: None, credential, number, lowered_cap: None, steps: None });
    };
    let mut spent = Vec::new();
    loop {
        let worst = cap.worst(endpoint, job);
        let asked = reservation(job, candidate, entry.credential.as_ref(), trail, &worst);
        match permit.reserve(asked, entry.passages.clone()).await {
            Ok(hold) => {
                trail.reserved = number;
                for call in &mut calls {
                    call.headers.insert(CLIENT_REQUEST_ID, name(trail));
                }
                let (lowered_cap, steps) = (cap.lowered(), cap.steps(endpoint));
                let credential = entry.credential;
                return Ok(Ready { calls, hold: Some(hold), credential, number, lowered_cap, steps });
            }
            // What the operator's credentials may cost lowers nobody's cap: the next one is taken.
            Err(ReserveError::Exhausted { account, .. }) if account.kind == AccountKind::CredentialBudget => {
                spent.push(account.owner);
                entry = enter(pipeline, job, candidate, (true, &spent), entered).await?;
            }
            // It was removed, and this instance has not heard of that yet.
            Err(ReserveError::UnknownAccount { kind: AccountKind::CredentialBudget }) => {
                spent.extend(entry.credential.map(|credential| credential.id));
                entry = enter(pipeline, job, candidate, (true, &spent), entered).await?;
            }
            Err(ReserveError::Exhausted { account, limit, affordable }) => {
                if let Some(first) = cap.stepped(affordable, endpoint, job).filter(|_| may_step) {
                    cap = first;
                    continue;
                }
                let lower = cap.lowered_to(affordable, endpoint, job);
                cap = lower.ok_or_else(|| cap.short(account, limit, affordable, endpoint, job))?;
                calls = encode(job, endpoint, Some(cap.tokens()), fetched)?;
            }
            Err(error) => return Err(Skip::Refused(error)),
        }
    }
}

/// The attempt that was reserved last, as its ledger line names it: the generation and its number.
fn name(trail: &Trail) -> HeaderValue {
    let name = format!("{}/{}", trail.id, trail.reserved);
    HeaderValue::try_from(name).expect("ids and numbers are plain ASCII")
}

/// The most that an attempt of this candidate can cost who pays for it: the tenant, or its own account at the provider.
pub fn worst(pipeline: &Pipeline, job: &Job<'_>, candidate: &Candidate) -> NanoUsd {
    let (endpoint, is_byok) = (&candidate.endpoint, candidate.is_byok());
    let cap = Cap::of(endpoint, is_byok, job, pipeline.settings.leases.default_output_tokens);
    let worst = cap.worst(endpoint, job);
    if is_byok { worst.cost } else { worst.charge }
}

fn encode(
    job: &Job<'_>,
    endpoint: &Arc<Endpoint>,
    cap: Option<u64>,
    fetched: &Fetched,
) -> Result<Vec<Encoded>, Skip> {
    let target = Target {
        model: &endpoint.config.upstream_id,
        output_cap: cap,
        stream: job.request.stream,
        quirks: &endpoint.quirks,
        fetched,
        supported: endpoint.supported,
        tier: Some(&endpoint.config.service_tier),
    };
    let calls = tasks::encode(endpoint.provider.adapter, job.request, &target);
    let calls = calls.map_err(|unsupported| Skip::Unsupported(unsupported, endpoint.clone()))?;
    let dropped = calls.first().map(|call| &call.dropped).filter(|dropped| !dropped.is_empty());
    if let Some(dropped) = dropped.filter(|_| job.request.provider.require_parameters) {
        let fields = dropped.join(", ");
        return Err(Skip::Unsupported(
            Unsupported::new(fields, "cannot be expressed at this provider"),
            endpoint.clone(),
        ));
    }
    Ok(calls)
}

/// One of a provider's credentials, by weight: of those that are usable, or of all where none is.
fn pick<'a>(
    credentials: &[&'a Credential],
    is_usable: impl Fn(&Credential) -> bool,
    seed: u64,
) -> Option<&'a Credential> {
    let is_any_usable = credentials.iter().any(|credential| is_usable(credential));
    let mut open = credentials.iter().copied().filter(|credential| !is_any_usable || is_usable(credential));
    let total: u64 = open.clone().map(|credential| u64::from(credential.weight)).sum();
    let mut at = seed % total.max(1);
    open.find(|credential| {
        let weight = u64::from(credential.weight);
        let is_it = at < weight;
        at = at.saturating_sub(weight);
        is_it
    })
}

fn reservation(
    job: &Job<'_>,
    candidate: &Candidate,
    credential: Option<&Credential>,
    trail: &Trail,
    worst: &WorstCase,
) -> Reservation {
    let (Caller { tenant, key }, endpoint) = (job.caller, &candidate.endpoint);
    let (started_at, terms) = (clock::now(), tenant.book.terms(endpoint));
    Reservation {
        generation: trail.id,
        attempt: trail.reserved + 1,
        charges: charges(job, candidate, credential, trail, worst),
        cost_bound: worst.cost,
        facts: Facts {
            tenant: tenant.id.clone(),
            key: key.id.clone(),
            model: endpoint.model.clone(),
            endpoint: endpoint.id.clone(),
            provider: endpoint.provider.id.clone(),
            credential: CredentialId::new(
                credential.map_or_else(|| "".into(), |credential| credential.id.clone()),
            ),
            price: Arc::clone(endpoint.tariff.at(started_at).text()),
            tenant_price: terms.own(),
            price_revision: Arc::new(trail.revision.to_proto()),
            markup_ppm: terms.markup_ppm(),
            started_at,
        },
        traceparent: trail.traceparent(),
    }
}

fn charges(
    job: &Job<'_>,
    candidate: &Candidate,
    credential: Option<&Credential>,
    trail: &Trail,
    worst: &WorstCase,
) -> Vec<Due> {
    let payers = Payers { caller: job.caller, user: job.request.user.as_deref(), at: trail.admitted_at };
    match candidate.is_byok() {
        true => payers.byok_charges(worst),
        false => payers.charges(credential, &candidate.endpoint, worst),
    }
}

impl From<AdmitError> for RequestError {
    fn from(error: AdmitError) -> Self {
        let AdmitError::Limited { limit, ceiling, retry_after, .. } = error;
        let seconds = retry_after.as_secs_f64().ceil().max(1.0);
        let (side, text) = match limit.scope {
            Scope::Key | Scope::Tenant | Scope::Model => {
                (Side::Client, format!("Rate limit reached: {ceiling} {limit}. Try again in {seconds} s."))
            }
            // How much the router may send is its operator's business, or a tenant's that knows its own.
            Scope::Credential | Scope::Provider => {
                let text =
                    format!("The router may not send more to the provider now. Try again in {seconds} s.");
                (Side::Router, text)
            }
        };
        Self { side, ..Self::new(ErrorCode::RateLimitExceeded, text).retry_after(retry_after) }
    }
}

impl From<Skip> for RequestError {
    fn from(skip: Skip) -> Self {
        match skip {
            Skip::Unsupported(unsupported, _) => unsupported.into(),
            Skip::Media(error) => *error,
            Skip::Gone(why) => Self::from(why),
            Skip::Failed(failed, endpoint) => {
                Self::from_failure(&failed.failure, &endpoint.provider.display_name)
            }
            Skip::Shut(shut, endpoint) => refusal::shut(shut, &endpoint),
            Skip::Refused(error) => refused(error),
            Skip::Limited(error, endpoint) => {
                let provider = Some(endpoint.provider.display_name.clone());
                Self { provider, ..Self::from(error) }
            }
            Skip::Faulty(fault, endpoint) => faulty(&fault, &endpoint),
            Skip::Budget { account, limit, affordable_tokens, asked_tokens, of } => {
                charges::short(&account, limit, (affordable_tokens, asked_tokens), of)
            }
            Skip::CredentialBudget => {
                let code = AccountKind::CredentialBudget.rule().refusal;
                Self::new(code, "No provider of this model has budget left at the moment. Try again later.")
            }
        }
    }
}

fn faulty(fault: &Fault, endpoint: &Endpoint) -> RequestError {
    let (reason, provider) = (fault.reason.as_str(), endpoint.provider.display_name.clone());
    let text = format!("The answer did not pass the policy's last stage: {reason}: {}.", fault.detail);
    let error = RequestError::new(ErrorCode::ProviderUnavailable, text).with("failed_check", reason);
    RequestError { side: Side::Provider, provider: Some(provider), ..error }
}

fn refused(error: ReserveError) -> RequestError {
    let code = error.code();
    match error {
        ReserveError::Busy { retry_after } => {
            let text = "The budget is lent out to other instances at the moment. Try again shortly.";
            RequestError::new(code, text).retry_after(retry_after)
        }
        ReserveError::Unavailable => {
            let text = "The budget cannot be checked at the moment. Try again shortly.";
            RequestError::new(code, text).retry_after(std::time::Duration::from_secs(1))
        }
        ReserveError::Journal(cause) => {
            let text = "This instance cannot record requests at the moment. Try again shortly.";
            RequestError { source: Some(Box::new(cause)), ..RequestError::new(code, text) }
        }
        ReserveError::UnknownAccount { .. } | ReserveError::Exhausted { .. } => {
            RequestError::new(code, "The account of this API key cannot be used.")
        }
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::secret::Secret;

    use super::*;

    #[test]
    fn credentials_are_picked_by_weight_among_those_that_can_be_used() {
        let credentials = [("a", 1), ("b", 2), ("c", 1)].map(|(id, weight)| Credential {
            id: id.into(),
            tenant: None,
            secret: Secret::new("s"),
            weight,
            rates: None,
        });
        let credentials: Vec<&Credential> = credentials.iter().collect();
        let check = |usable: &str, expected: &str| {
            let is_usable = |credential: &Credential| usable.contains(&*credential.id);
            let first = |seed| pick(&credentials, is_usable, seed).unwrap().id.to_string();
            assert_eq!((0..4).map(first).collect::<String>(), expected, "{usable:?}");
        };
        check("abc", "abbc");
        check("ac", "acac");
        check("b", "bbbb");
        check("", "abbc");
        assert!(pick(&[], |_| true, 1).is_none());
    }
}
