//! The order of candidates. Each gets a [`Place`], whose members are compared one after the other; the lowest is
//! tried first.

pub mod price;
pub mod quality;
pub mod speed;
pub mod sticky;

use std::cmp::Ordering;

use serde::Serialize;

use crate::model::preferences::SortBy;
use crate::routing::candidates::Search;
use crate::routing::filter::capability;
use crate::routing::health::{Band, Reading, State};
use crate::routing::names::Target;
use crate::routing::order::price::Lots;
use crate::routing::plan::Candidate;
use crate::routing::tier;

/// Why a candidate stands where it stands: its members in the order in which they are compared.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize)]
pub struct Place {
    /// Its breaker is open or its provider asked to wait: tried only when nobody else is left.
    pub is_shelved: bool,
    /// The rank of its model; 0 for all where models are sorted as one list.
    pub model: u16,
    pub payer: Payer,
    /// How much of what was asked for would be lost there.
    pub losses: u8,
    /// The place in `provider.order`; the largest number for those that are not named.
    pub order: u16,
    /// Not where the conversation's prompt is cached.
    pub is_cold: bool,
    /// Not of the tier asked for.
    pub is_other_tier: bool,
    /// How many of the preferred figures it misses or is not known to meet.
    pub misses: u8,
    /// Degraded, then with a recent outage.
    pub health: u8,
    /// How well it calls tools, where that matters.
    pub quality: quality::Tier,
    /// The place among the tenant's own credentials.
    pub credential: u16,
    /// The measure sorted by, or the lot drawn by price; lower is better.
    pub score: f64,
    /// Prompt plus completion price in dollars per million tokens.
    pub price: f64,
}

/// Whose credential a candidate is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payer {
    /// The tenant's own, before everybody's.
    Own,
    #[default]
    Shared,
    /// The tenant's own, behind everybody's.
    Fallback,
}

impl Search<'_> {
    /// Puts candidates into the order of trying. `seed` decides what is drawn.
    pub fn order(&self, candidates: &mut [Candidate], seed: u64) {
        let across_models = self.wishes.sort.is_some_and(|sort| sort.across_models);
        let mut from = 0;
        while from < candidates.len() {
            let rank = candidates[from].place.model;
            let same = candidates[from..].iter().take_while(|one| one.place.model == rank).count();
            let end = if across_models { candidates.len() } else { from + same };
            let mut lots = Lots::new(seed.wrapping_add(u64::from(rank)));
            self.place(&mut candidates[from..end], &mut lots);
            from = end;
        }
        if across_models {
            candidates.iter_mut().for_each(|candidate| candidate.place.model = 0);
        }
        candidates.sort_by(|one, two| one.place.partial_cmp(&two.place).unwrap_or(Ordering::Equal));
    }

    /// Gives the candidates of one list their places in it.
    fn place(&self, candidates: &mut [Candidate], lots: &mut Lots) {
        let tiers = quality::Tiers::of(candidates, self.asks_quality(candidates));
        for candidate in candidates {
            let target = &self.targets[usize::from(candidate.place.model)];
            candidate.place = self.place_of(candidate, target, &tiers, lots);
        }
    }

    fn place_of(
        &self,
        candidate: &Candidate,
        target: &Target<'_>,
        tiers: &quality::Tiers,
        lots: &mut Lots,
    ) -> Place {
        let (endpoint, reading) = (&*candidate.endpoint, &candidate.reading);
        let sort = self.sort(target);
        let asked_tier = tier::asked(self.inputs);
        let is_asked_tier = asked_tier == Some(endpoint.config.service_tier.as_str());
        let price = price::dollars(&self.inputs.prices(endpoint));
        let score = match sort {
            None if is_asked_tier => speed::slowness(reading),
            None => lots.draw(price),
            Some(SortBy::Price | SortBy::Exacto) => price,
            Some(SortBy::Throughput) => speed::slowness(reading),
            Some(SortBy::Latency) => speed::latency(reading),
        };
        Place {
            is_shelved: !self.may_send(candidate),
            model: candidate.place.model,
            payer: candidate.payer(),
            losses: capability::losses(self.inputs, endpoint),
            order: if self.wishes.order.is_empty() { 0 } else { self.wishes.rank(endpoint) },
            is_cold: !sticky::holds(self, sort, candidate),
            is_other_tier: asked_tier.is_some() && !is_asked_tier,
            misses: speed::misses(self.wishes, reading),
            // Who sorts wants that order and no other.
            health: if sort.is_some() { 0 } else { health(reading) },
            quality: tiers.of_reading(reading),
            credential: self.credential_place(candidate),
            score,
            price,
        }
    }

    /// The measure that a model's candidates are sorted by: its suffix says more than the request's `sort`.
    fn sort(&self, target: &Target<'_>) -> Option<SortBy> {
        let wished = self.wishes.sort;
        match wished {
            Some(sort) if sort.across_models => Some(sort.by),
            _ => target.suffixes.sort.or(wished.map(|sort| sort.by)),
        }
    }

    /// Whether quality in calling tools orders these: by wish, and by itself where tools are sent.
    fn asks_quality(&self, candidates: &[Candidate]) -> bool {
        let Some(first) = candidates.first() else { return false };
        match self.sort(&self.targets[usize::from(first.place.model)]) {
            Some(by) => by == SortBy::Exacto,
            None => self.inputs.facts.tools > 0,
        }
    }

    /// Whether nothing keeps requests from it, as far as is known: its breaker, a limit, the tenant's own credential, which
    /// a limit of everybody's is not about.
    fn may_send(&self, candidate: &Candidate) -> bool {
        let is_limited = matches!(candidate.reading.state, State::Limited { .. });
        match candidate.credential.as_deref() {
            None => candidate.reading.may_try(),
            Some(own) => (candidate.reading.may_try() || is_limited) && (self.inputs.usable)(own),
        }
    }

    fn credential_place(&self, candidate: &Candidate) -> u16 {
        let Some(own) = &candidate.credential else { return 0 };
        let place = self.own.iter().position(|row| row.id == own.id).unwrap_or_default();
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}

impl Candidate {
    /// Whether it goes first for the conversation's prompt being cached there.
    pub fn is_sticky(&self) -> bool {
        !self.place.is_cold
    }

    /// The provider's service tier that it is; empty: the default one.
    pub fn tier(&self) -> &str {
        &self.endpoint.config.service_tier
    }

    /// Whose credential it is called with.
    pub fn payer(&self) -> Payer {
        match &self.credential {
            None => Payer::Shared,
            Some(own) if own.fallback => Payer::Fallback,
            Some(_) => Payer::Own,
        }
    }
}

/// Whether an endpoint goes behind others for how it has been doing: half-open or degraded, then out lately.
fn health(reading: &Reading) -> u8 {
    if reading.recent_outage || reading.uptime == Band::Bad {
        return 2;
    }
    u8::from(reading.state == State::HalfOpen || reading.uptime == Band::Degraded)
}
