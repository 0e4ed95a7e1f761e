//! Counts what an attempt produced and settles it: by the provider's word where there is one, else by estimate.

use std::borrow::Cow;

use switchyard_proto::clock;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1::{self, GenerationRecord, Provenance};

use crate::config::snapshot::Endpoint;
use crate::limits::{Hold, Settled, Settlement};
use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::response::{ChatResponse, Finish};
use crate::model::usage::{self, Usage};
use crate::pipeline::{Job, charges};
use crate::price;
use crate::routing::plan::Candidate;
use crate::upstream::attempt::Failed;

/// What came out of an attempt so far.
#[derive(Debug, Default)]
pub struct Meter {
    pub text_bytes: u64,
    pub usage: Option<Usage>,
    pub finish: Option<Finish>,
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
                provenance: usage::Provenance::Estimated,
                ..Usage::default()
            },
        }
    }
}

/// What a settled attempt came to.
#[derive(Debug, Clone)]
pub struct Bill {
    pub tokens: v1::TokenUsage,
    pub cost: NanoUsd,
    pub settled: Settled,
    /// The tenant pays the provider itself.
    pub is_byok: bool,
}

/// Settles an attempt that produced something; without a hold (no governance) it is only priced. `generation` is given
/// the tokens, the cost and the charge.
pub fn settle(
    hold: Option<Hold>,
    job: &Job<'_>,
    candidate: &Candidate,
    counted: &Usage,
    outcome: impl Into<Cow<'static, str>>,
    status: u16,
    generation: impl FnOnce(&v1::TokenUsage, NanoUsd, NanoUsd) -> Option<GenerationRecord>,
) -> Bill {
    let tokens = price::tokens(counted, &job.request.facts);
    let (cost, owed) = price::bill(&candidate.endpoint, &job.caller.tenant, &tokens);
    // With its own credential a tenant pays the provider, and us nothing; its key's limit may count it all the same.
    let is_byok = candidate.is_byok();
    let owed = match is_byok {
        true if charges::counts_byok(job.caller) => cost,
        true => NanoUsd::ZERO,
        false => owed,
    };
    let charged = hold.as_ref().map_or(owed, |hold| owed.min(hold.reserved()));
    let generation = generation(&tokens, cost, charged);
    let Some(hold) = hold else {
        return Bill { tokens, cost, settled: Settled { charged: owed, house: NanoUsd::ZERO }, is_byok };
    };
    let settled = hold.settle(Settlement {
        cost,
        price: owed,
        tokens,
        provenance: provenance(counted),
        outcome: outcome.into(),
        upstream_status: status,
        ended_at: clock::now(),
        generation,
    });
    Bill { tokens, cost, settled, is_byok }
}

/// Settles an attempt that failed before the caller saw anything of it: the tenant pays nothing for it.
pub fn settle_failed(hold: Option<Hold>, job: &Job<'_>, candidate: &Candidate, failed: &Failed) {
    let Some(hold) = hold else { return };
    let failure = &failed.failure;
    let status = failure.status.map_or(0, |status| status.as_u16());
    if !failed.reached {
        hold.release(failure.class.as_str(), clock::now(), None);
        return;
    }
    let (usage, cost) = if failed.refused {
        // Nobody bills for turning a request down.
        (Usage { provenance: usage::Provenance::ProviderFinal, ..Usage::default() }, NanoUsd::ZERO)
    } else {
        unseen(&candidate.endpoint, &job.request.facts, failed.usage, failed.unused_bytes)
    };
    hold.settle(free(usage, cost, job, failure.class.as_str(), status));
}

/// Settles an attempt that a policy had sent beside another and that lost: the tenant wanted it and pays what its provider
/// may bill.
pub fn settle_lost(hold: Option<Hold>, job: &Job<'_>, candidate: &Candidate, outcome: &'static str) -> Bill {
    let asked = Meter::default().counted(&job.request.facts, None);
    settle(hold, job, candidate, &asked, outcome, 0, |_, _, _| None)
}

/// Settles an attempt that was called off before the caller saw anything of it.
pub fn settle_unseen(hold: Option<Hold>, job: &Job<'_>, candidate: &Candidate, outcome: &'static str) {
    let Some(hold) = hold else { return };
    let (usage, cost) = unseen(&candidate.endpoint, &job.request.facts, None, 0);
    hold.settle(free(usage, cost, job, outcome, 0));
}

/// What the provider may bill us for an answer that nobody saw, of which so many bytes were produced.
fn unseen(endpoint: &Endpoint, facts: &Facts, partial: Option<Usage>, bytes: u64) -> (Usage, NanoUsd) {
    let produced = Meter { text_bytes: bytes, ..Meter::default() };
    let usage = produced.counted(facts, partial.filter(|usage| usage.total_tokens() > 0));
    (usage, endpoint.prices.cost(&price::tokens(&usage, facts)))
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
