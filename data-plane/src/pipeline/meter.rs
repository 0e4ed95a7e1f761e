//! Counts what an attempt produced and settles it: by the provider's word where there is one, else by estimate.

use chrono::{DateTime, Utc};
use switchyard_proto::clock;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::Cost;
use switchyard_proto::v1::{self, GenerationRecord, Provenance};

use crate::config::snapshot::Endpoint;
use crate::limits::{Hold, Settled, Settlement};
use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::response::{ChatResponse, Finish, FinishReason};
use crate::model::task::Product;
use crate::model::usage::{self, Usage};
use crate::pipeline::{Job, charges};
use crate::price::{self, Owes};
use crate::routing::plan::Candidate;
use crate::upstream::attempt::Failed;

/// What came out of an attempt so far.
#[derive(Debug, Default)]
pub struct Meter {
    pub text_bytes: u64,
    pub usage: Option<Usage>,
    pub finish: Option<Finish>,
    /// Vectors or a ranking came, which are all that was wanted.
    pub has_product: bool,
    pub is_done: bool,
}

impl Meter {
    /// Counts one event of a stream.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Start(_) | Event::Tier(_) => {}
            Event::Chunk(chunk) => {
                for choice in &chunk.choices {
                    self.text_bytes += choice.delta.text_bytes() as u64;
                    if let Some(finish) = &choice.finish {
                        self.finish.get_or_insert_with(|| finish.clone());
                    }
                }
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Done => self.is_done = true,
        }
    }

    /// Counts a whole answer.
    pub fn of(answer: &ChatResponse) -> Self {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len) as u64;
        let text_bytes = answer.choices.iter().map(|choice| {
            let message = &choice.message;
            let tools: usize =
                message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
            length(&message.content) + length(&message.reasoning) + length(&message.refusal) + tools as u64
        });
        Self {
            text_bytes: text_bytes.sum(),
            usage: answer.usage,
            finish: answer.choices.first().map(|choice| choice.finish.clone()),
            has_product: answer.product != Product::Chat,
            is_done: true,
        }
    }

    /// The tokens to bill; estimated where the provider said nothing, or nothing of what it produced.
    pub fn counted(&self, facts: &Facts, partial: Option<Usage>) -> Usage {
        let said = self.usage.or(partial).filter(|usage| usage.total_tokens() > 0 || self.text_bytes == 0);
        match said {
            // What was reported before a break may lag behind what was produced.
            Some(usage) if usage.provenance != usage::Provenance::ProviderFinal => Usage {
                completion_tokens: usage.completion_tokens.max(price::output_estimate(self.text_bytes)),
                ..usage
            },
            Some(usage) => usage,
            None => Usage {
                prompt_tokens: price::prompt_estimate(facts),
                completion_tokens: price::output_estimate(self.text_bytes),
                search_units: price::search_units_estimate(facts),
                provenance: usage::Provenance::Estimated,
                ..Usage::default()
            },
        }
    }

    /// What the tenant owes of an answer that ended: nothing but fees where it ended in an error, or without a token and
    /// without the provider's word for why.
    pub fn owes(&self, counted: &Usage) -> Owes {
        if self.has_product {
            return Owes::All;
        }
        let said = self.finish.as_ref().filter(|finish| finish.native.is_some());
        let is_error = self.finish.as_ref().is_some_and(|finish| finish.reason == FinishReason::Error);
        if is_error || (said.is_none() && counted.completion_tokens == 0) { Owes::Fees } else { Owes::All }
    }
}

/// How an attempt ended that produced something.
#[derive(Debug)]
pub struct Ended {
    /// `ok`, or what went wrong.
    pub outcome: &'static str,
    /// The provider's.
    pub status: u16,
    pub owes: Owes,
}

/// What a settled attempt came to.
#[derive(Debug, Clone)]
pub struct Bill {
    pub tokens: v1::TokenUsage,
    pub cost: Cost,
    pub settled: Settled,
    /// The tenant pays the provider itself.
    pub is_byok: bool,
}

impl Bill {
    fn nothing(is_byok: bool) -> Self {
        let settled = Settled { charged: NanoUsd::ZERO, house: NanoUsd::ZERO };
        Self { tokens: v1::TokenUsage::default(), cost: Cost::default(), settled, is_byok }
    }
}

/// Settles an attempt that produced something; without a hold (no governance) it is only priced. `generation` is given
/// the tokens, the cost and the charge.
pub fn settle(
    hold: Option<Hold>,
    job: &Job<'_>,
    candidate: &Candidate,
    counted: &Usage,
    ended: Ended,
    generation: impl FnOnce(&v1::TokenUsage, Cost, NanoUsd) -> Option<GenerationRecord>,
) -> Bill {
    let tokens = price::tokens(counted, &job.request.facts);
    let (endpoint, at) = (&candidate.endpoint, started(hold.as_ref()));
    let (cost, owed) = price::bill(endpoint, &job.caller.tenant, at, &tokens, ended.owes);
    // With its own credential a tenant pays the provider, and us nothing; its key's limit may count it all the same.
    let is_byok = candidate.is_byok();
    let owed = match is_byok {
        true if charges::counts_byok(job.caller) => cost.total,
        true => NanoUsd::ZERO,
        false => owed,
    };
    let charged = hold.as_ref().map_or(owed, |hold| owed.min(hold.reserved()));
    let generation = generation(&tokens, cost, charged);
    let Some(hold) = hold else {
        return Bill { tokens, cost, settled: Settled { charged: owed, house: NanoUsd::ZERO }, is_byok };
    };
    let settled = hold.settle(Settlement {
        cost: cost.total,
        price: owed,
        tokens,
        provenance: provenance(counted),
        outcome: ended.outcome.into(),
        upstream_status: ended.status,
        ended_at: clock::now(),
        used: endpoint.tariff.at(at).text_of(tokens.prompt),
        generation,
    });
    Bill { tokens, cost, settled, is_byok }
}

/// Settles an attempt that failed before the caller saw anything of it: the tenant pays nothing for it.
pub fn settle_failed(hold: Option<Hold>, job: &Job<'_>, candidate: &Candidate, failed: &Failed) {
    let Some(hold) = hold else { return };
    let (failure, endpoint, at) = (&failed.failure, &candidate.endpoint, hold.started_at());
    let status = failure.status.map_or(0, |status| status.as_u16());
    if !failed.reached {
        hold.release(failure.class.as_str(), clock::now(), None);
        return;
    }
    let (usage, cost) = if failed.refused {
        // Nobody bills for turning a request down.
        (Usage { provenance: usage::Provenance::ProviderFinal, ..Usage::default() }, NanoUsd::ZERO)
    } else {
        unseen(endpoint, at, &job.request.facts, failed.usage)
    };
    hold.settle(shown(free(usage, cost, job, failure.class.as_str(), status), endpoint, at));
}

/// Settles an attempt that a policy had sent beside another and that lost: the tenant wanted it and pays what its provider
/// may bill; nothing where that never heard of it.
pub fn settle_lost(
    hold: Option<Hold>,
    job: &Job<'_>,
    candidate: &Candidate,
    outcome: &'static str,
    reached: bool,
) -> Bill {
    if !reached {
        release(hold, outcome);
        return Bill::nothing(candidate.is_byok());
    }
    let asked = Meter::default().counted(&job.request.facts, None);
    let ended = Ended { outcome, status: 0, owes: Owes::All };
    settle(hold, job, candidate, &asked, ended, |_, _, _| None)
}

/// Settles an attempt that was called off before the caller saw anything of it.
pub fn settle_unseen(
    hold: Option<Hold>,
    job: &Job<'_>,
    candidate: &Candidate,
    outcome: &'static str,
    reached: bool,
) {
    if !reached {
        return release(hold, outcome);
    }
    let Some(hold) = hold else { return };
    let (endpoint, at) = (&candidate.endpoint, hold.started_at());
    let (usage, cost) = unseen(endpoint, at, &job.request.facts, None);
    hold.settle(shown(free(usage, cost, job, outcome, 0), endpoint, at));
}

fn release(hold: Option<Hold>, outcome: &'static str) {
    if let Some(hold) = hold {
        hold.release(outcome, clock::now(), None);
    }
}

/// What the provider may bill us for an answer that nobody saw.
fn unseen(endpoint: &Endpoint, at: DateTime<Utc>, facts: &Facts, partial: Option<Usage>) -> (Usage, NanoUsd) {
    let usage = Meter::default().counted(facts, partial.filter(|usage| usage.total_tokens() > 0));
    (usage, endpoint.tariff.at(at).cost(&price::tokens(&usage, facts)))
}

/// By the clock of the reservation, which names the price.
fn started(hold: Option<&Hold>) -> DateTime<Utc> {
    hold.map_or_else(clock::now, Hold::started_at)
}

/// With the price that was used.
fn shown(settlement: Settlement, endpoint: &Endpoint, at: DateTime<Utc>) -> Settlement {
    let used = endpoint.tariff.at(at).text_of(settlement.tokens.prompt);
    Settlement { used, ..settlement }
}

fn free(usage: Usage, cost: NanoUsd, job: &Job<'_>, outcome: &'static str, status: u16) -> Settlement {
    let is_nothing = usage.total_tokens() == 0;
    Settlement {
        cost,
        price: NanoUsd::ZERO,
        tokens: if is_nothing {
            v1::TokenUsage::default()
        } else {
            price::tokens(&usage, &job.request.facts)
        },
        provenance: provenance(&usage),
        outcome: outcome.into(),
        upstream_status: status,
        ended_at: clock::now(),
        used: None,
        generation: None,
    }
}

fn provenance(usage: &Usage) -> Provenance {
    match usage.provenance {
        usage::Provenance::ProviderFinal => Provenance::ProviderFinal,
        usage::Provenance::ProviderPartial => Provenance::ProviderPartial,
        usage::Provenance::Estimated => Provenance::Estimated,
    }
}

#[cfg(test)]
mod tests;
