//! Builds the ledger's lines: the line as it stands while an attempt is under way, and the line as it ended.
//!
//! Pure. Amounts are decided in `limits`; writing is `journal`'s business.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Utc};
use switchyard_proto::{
    account::Side,
    clock,
    id::{CredentialId, EndpointId, GenerationId, KeyId, ModelId, ProviderId, TenantId},
    money::NanoUsd,
    v1,
};

/// The `outcome` of an attempt that was cut off with its process or its task.
pub const INTERRUPTED: &str = "interrupted";

/// What a line says of an attempt besides money.
#[derive(Clone, Debug)]
pub struct Facts {
    pub tenant: TenantId,
    pub key: KeyId,
    pub model: ModelId,
    pub endpoint: EndpointId,
    pub provider: ProviderId,
    pub credential: CredentialId,
    /// The endpoint's price in the snapshot that made the plan: that of the moment, without overrides.
    pub price: Arc<v1::Price>,
    /// The tenant's own; absent: it pays the cost with the mark-up.
    pub tenant_price: Option<Arc<v1::PriceParts>>,
    /// That snapshot's revision.
    pub price_revision: Arc<v1::Revision>,
    pub markup_ppm: u64,
    pub started_at: DateTime<Utc>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// What the provider bills us.
    pub cost: NanoUsd,
    /// What it would cost the tenant, whatever was reserved.
    pub price: NanoUsd,
    pub tokens: v1::TokenUsage,
    pub provenance: v1::Provenance,
    /// `ok`, or the error type.
    pub outcome: Cow<'static, str>,
    /// 0 if the provider did not answer.
    pub upstream_status: u16,
    pub ended_at: DateTime<Utc>,
    /// The price that was used, where it is another than the one reserved with: a long prompt's, or an hour's.
    pub used: Option<v1::PriceParts>,
    /// With the request's last attempt. Its `charge_nano` is what earlier attempts were charged: this one adds its own.
    pub generation: Option<v1::GenerationRecord>,
}

/// The line as it is booked if nothing more is heard: everything reserved is charged.
///
/// The first charge is the payer's; the instance is filled in by the journal.
pub fn interrupted(
    generation: GenerationId,
    attempt: u32,
    epoch: u64,
    charges: Vec<v1::Charge>,
    cost_bound: NanoUsd,
    facts: &Facts,
) -> v1::AttemptRecord {
    let reserved_nano = charges.first().map_or(0, |charge| charge.reserved_nano);
    v1::AttemptRecord {
        generation: generation.to_bytes(),
        attempt,
        instance: String::new(),
        epoch,
        tenant: facts.tenant.as_str().to_owned(),
        key: facts.key.as_str().to_owned(),
        model: facts.model.as_str().to_owned(),
        endpoint: facts.endpoint.as_str().to_owned(),
        provider: facts.provider.as_str().to_owned(),
        credential: facts.credential.as_str().to_owned(),
        charges,
        cost_nano: cost_bound.0,
        charge_nano: reserved_nano,
        house_nano: 0,
        reserved_nano,
        tokens: None,
        provenance: v1::Provenance::Interrupted.into(),
        price_revision: Some(v1::Revision::clone(&facts.price_revision)),
        price: Some(v1::Price::clone(&facts.price)),
        outcome: INTERRUPTED.to_owned(),
        upstream_status: 0,
        started_at: Some(clock::to_timestamp(facts.started_at)),
        ended_at: None,
        markup_ppm: facts.markup_ppm,
        tenant_price: facts.tenant_price.as_deref().cloned(),
    }
}

/// What an account counts of an attempt.
fn counted(charge: &v1::Charge, price: u64, cost: u64) -> u64 {
    match side(charge) {
        Side::Charge => price,
        Side::Cost => cost,
    }
}

fn side(charge: &v1::Charge) -> Side {
    charge.account.as_ref().map_or(Side::Charge, |account| account.kind().rule().counts)
}

/// The line as it ended: no account pays more than it reserved, the house bears the rest.
pub fn ended(
    open: v1::AttemptRecord,
    settlement: Settlement,
) -> (v1::AttemptRecord, Option<v1::GenerationRecord>) {
    let price = settlement.price.0;
    let mut charges = open.charges;
    for charge in &mut charges {
        charge.charged_nano = counted(charge, price, settlement.cost.0).min(charge.reserved_nano);
    }
    let charge_nano = price.min(open.reserved_nano);
    // What no account covered of what the tenant owes.
    let paying = charges.iter().filter(|charge| side(charge) == Side::Charge);
    let covered = paying.map(|charge| charge.charged_nano).max().unwrap_or(0);
    let line = v1::AttemptRecord {
        charges,
        cost_nano: settlement.cost.0,
        charge_nano,
        house_nano: price - covered,
        tokens: Some(settlement.tokens),
        provenance: settlement.provenance.into(),
        outcome: settlement.outcome.into_owned(),
        upstream_status: settlement.upstream_status.into(),
        ended_at: Some(clock::to_timestamp(settlement.ended_at)),
        price: settlement.used.map(v1::Price::from).or(open.price),
        ..open
    };
    let generation = settlement.generation.map(|generation| v1::GenerationRecord {
        instance: line.instance.clone(),
        charge_nano: generation.charge_nano.saturating_add(charge_nano),
        ..generation
    });
    (line, generation)
}

/// The generation of a request of which nothing but this line is known: it ended with its process or its task.
pub fn unfinished(line: &v1::AttemptRecord) -> v1::GenerationRecord {
    let admitted_at = GenerationId::from_bytes(&line.generation).map(GenerationId::admitted_at);
    v1::GenerationRecord {
        id: line.generation.clone(),
        instance: line.instance.clone(),
        tenant: line.tenant.clone(),
        key: line.key.clone(),
        requested_model: line.model.clone(),
        model: line.model.clone(),
        provider: line.provider.clone(),
        // What its caller saw was a broken connection.
        status: 500,
        error_type: INTERRUPTED.to_owned(),
        cost_nano: line.cost_nano,
        charge_nano: line.charge_nano,
        attempts: 1,
        admitted_at: admitted_at.map(clock::to_timestamp).or(line.started_at),
        config_revision: line.price_revision.clone(),
        ..Default::default()
    }
}

/// The same with what an earlier line of the request came to.
pub fn with_earlier(last: v1::GenerationRecord, earlier: &v1::GenerationRecord) -> v1::GenerationRecord {
    v1::GenerationRecord {
        cost_nano: last.cost_nano.saturating_add(earlier.cost_nano),
        charge_nano: last.charge_nano.saturating_add(earlier.charge_nano),
        attempts: last.attempts.saturating_add(earlier.attempts),
        ..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(reserved: &[u64]) -> v1::AttemptRecord {
        let facts = Facts {
            tenant: TenantId::new("acme"),
            key: KeyId::new("key_1"),
            model: ModelId::new("a/b"),
            endpoint: EndpointId::new("p"),
            provider: ProviderId::new("p"),
            credential: CredentialId::new("c"),
            price: Arc::default(),
            tenant_price: None,
            price_revision: Arc::default(),
            markup_ppm: 0,
            started_at: DateTime::UNIX_EPOCH,
        };
        let charges = reserved.iter().map(|reserved| v1::Charge {
            reserved_nano: *reserved,
            charged_nano: *reserved,
            ..Default::default()
        });
        interrupted(GenerationId::generate(), 1, 1, charges.collect(), NanoUsd(7), &facts)
    }

    fn ending(price: u64) -> Settlement {
        Settlement {
            cost: NanoUsd(price),
            price: NanoUsd(price),
            tokens: v1::TokenUsage::default(),
            provenance: v1::Provenance::ProviderFinal,
            outcome: "ok".into(),
            upstream_status: 200,
            ended_at: DateTime::UNIX_EPOCH,
            used: None,
            generation: Some(v1::GenerationRecord { charge_nano: 5, ..Default::default() }),
        }
    }

    #[test]
    fn what_only_a_limit_counts_is_no_charge_and_no_loss() {
        let (line, _) = ended(open(&[0, 60]), ending(40));
        assert_eq!((line.charge_nano, line.charges[1].charged_nano, line.house_nano), (0, 40, 0));
    }

    #[test]
    fn a_line_shows_the_price_that_was_used() {
        let price = |input: &str| v1::PriceParts { input: input.to_owned(), ..Default::default() };
        let open = v1::AttemptRecord { price: Some(price("1").into()), ..open(&[50]) };
        for (used, shown) in [(None, "1"), (Some(price("2")), "2")] {
            let (line, _) = ended(open.clone(), Settlement { used, ..ending(40) });
            assert_eq!(line.price.unwrap().input, shown);
        }
    }

    #[test]
    fn an_account_of_costs_counts_what_the_provider_bills() {
        let mut open = open(&[100, 60]);
        let kind = v1::AccountKind::CredentialBudget.into();
        open.charges[1].account = Some(v1::AccountPeriod { kind, owner: "c".into(), period: "all".into() });
        // Sold at twice its cost.
        let settlement = Settlement { cost: NanoUsd(40), price: NanoUsd(80), ..ending(0) };
        let (line, _) = ended(open.clone(), settlement);
        assert_eq!((line.charge_nano, line.charges[1].charged_nano, line.house_nano), (80, 40, 0));
        // A failed attempt that the tenant is not asked to pay for.
        let settlement = Settlement { cost: NanoUsd(70), price: NanoUsd(0), ..ending(0) };
        let (line, _) = ended(open, settlement);
        assert_eq!((line.charge_nano, line.charges[1].charged_nano, line.house_nano), (0, 60, 0));
    }

    #[test]
    fn an_open_line_charges_its_reservation() {
        let line = open(&[50]);
        assert_eq!((line.charge_nano, line.reserved_nano, line.cost_nano), (50, 50, 7));
        assert_eq!(line.provenance(), v1::Provenance::Interrupted);
    }

    #[test]
    fn charges_never_exceed_reservations_and_the_house_bears_the_rest() {
        for (price, charges, charge, house) in
            [(0, [0, 0], 0, 0), (40, [40, 30], 40, 0), (50, [50, 30], 50, 0), (80, [50, 30], 50, 30)]
        {
            let (line, generation) = ended(open(&[50, 30]), ending(price));
            assert_eq!(generation.unwrap().charge_nano, 5 + charge);
            let charged: Vec<u64> = line.charges.iter().map(|charge| charge.charged_nano).collect();
            assert_eq!(
                (charged, line.charge_nano, line.house_nano),
                (charges.to_vec(), charge, house),
                "{price}"
            );
        }
    }
}
