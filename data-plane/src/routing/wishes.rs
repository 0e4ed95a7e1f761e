//! The preferences that a stage is planned by: the request's, and those of its account and of a policy's stage, which only
//! narrow them.

use switchyard_proto::price::UnitPrice;
use switchyard_proto::v1::TenantConfig;

use crate::config::snapshot::Endpoint;
use crate::model::preferences::{MaxPrice, Percentiles, Preferences, Sort};
use crate::routing::filter::Rule;
use crate::routing::slug;

/// All sides' preferences in one.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    request: &'a Preferences,
    stage: Option<&'a Preferences>,
    account: &'a TenantConfig,
    /// The request's, else the stage's.
    pub order: &'a [String],
    /// The request's, else the stage's.
    pub sort: Option<Sort>,
    pub allow_fallbacks: bool,
    pub require_parameters: bool,
    pub deny_data_collection: bool,
    pub zdr: bool,
    pub distillable: bool,
    /// The lower of both.
    pub ceilings: Ceilings,
    pub min_throughput: Percentiles,
    pub max_latency: Percentiles,
}

impl<'a> Wishes<'a> {
    /// Joins what a request wishes with what its account and its stage prescribe.
    pub fn of(request: &'a Preferences, stage: Option<&'a Preferences>, account: &'a TenantConfig) -> Self {
        let either = |wish: fn(&Preferences) -> bool| wish(request) || stage.is_some_and(wish);
        let orders = !request.order.is_empty();
        let own = |wish: fn(&Preferences) -> Percentiles| match (wish(request), stage) {
            (none, Some(stage)) if none.is_empty() => wish(stage),
            (own, _) => own,
        };
        let ceilings = Ceilings::of(&request.max_price);
        Self {
            request,
            stage,
            account,
            order: stage.filter(|_| !orders).map_or(&request.order, |stage| &stage.order),
            // Who orders does not want the stage to sort.
            sort: request.sort.or_else(|| stage.filter(|_| !orders)?.sort),
            allow_fallbacks: request.allow_fallbacks && stage.is_none_or(|stage| stage.allow_fallbacks),
            require_parameters: either(|wishes| wishes.require_parameters),
            deny_data_collection: either(|wishes| wishes.deny_data_collection) || denies(account),
            zdr: either(|wishes| wishes.zdr) || account.zdr,
            distillable: either(|wishes| wishes.enforce_distillable_text),
            ceilings: stage.map_or(ceilings, |stage| ceilings.lower(Ceilings::of(&stage.max_price))),
            min_throughput: own(|wishes| wishes.preferred_min_throughput),
            max_latency: own(|wishes| wishes.preferred_max_latency),
        }
    }

    fn both(&self) -> impl Iterator<Item = &'a Preferences> {
        std::iter::once(self.request).chain(self.stage)
    }

    /// Whether every `only` that is given names the endpoint.
    pub fn allows(&self, endpoint: &Endpoint) -> bool {
        self.both().all(|wishes| wishes.only.is_empty() || slug::names(&wishes.only, endpoint))
    }

    /// Whether an `ignore` names the endpoint.
    pub fn ignores(&self, endpoint: &Endpoint) -> bool {
        self.both().any(|wishes| slug::names(&wishes.ignore, endpoint))
    }

    /// Whether the account's lists let its requests go to the endpoint; else which of them does not.
    pub fn account_rule(&self, endpoint: &Endpoint) -> Option<Rule> {
        let TenantConfig { allowed_providers, ignored_providers, .. } = self.account;
        if !allowed_providers.is_empty() && !slug::names(allowed_providers, endpoint) {
            return Some(Rule::AllowedProviders);
        }
        slug::names(ignored_providers, endpoint).then_some(Rule::IgnoredProviders)
    }

    /// Whether the account lets its requests be served in this region; one that is not known is none of them.
    pub fn takes_region(&self, region: &str) -> bool {
        let allowed = &self.account.allowed_regions;
        allowed.is_empty() || allowed.iter().any(|allowed| is_within(region, allowed))
    }

    /// Whether it is the account alone that forbids this use of prompts.
    pub fn only_account(&self, wish: fn(&Preferences) -> bool) -> bool {
        !self.both().any(wish)
    }

    /// Whether every list of quantizations that is given has the endpoint's.
    pub fn takes_quantization(&self, own: &str) -> bool {
        self.both().all(|wishes| {
            wishes.quantizations.is_empty() || wishes.quantizations.iter().any(|wanted| covers(wanted, own))
        })
    }

    /// Whether `only` or `order` names the endpoint in full, as endpoints of a service tier must be.
    pub fn names_tier(&self, endpoint: &Endpoint) -> bool {
        self.both().any(|wishes| {
            slug::names_tier(&wishes.only, endpoint) || slug::names_tier(&wishes.order, endpoint)
        })
    }

    /// The place in `order`; [`u16::MAX`] behind all that are named.
    pub fn rank(&self, endpoint: &Endpoint) -> u16 {
        let place = self.order.iter().position(|slug| slug::fit(endpoint, slug).is_some());
        place.map_or(u16::MAX, |place| u16::try_from(place).unwrap_or(u16::MAX - 1))
    }
}

/// What is not known to allow it is taken to deny it.
fn denies(account: &TenantConfig) -> bool {
    !matches!(account.data_collection.as_str(), "" | "allow")
}

/// Whether a region is the one that is allowed, or begins with it: `eu` allows `eu-west-1`.
fn is_within(region: &str, allowed: &str) -> bool {
    let Some((start, rest)) = region.split_at_checked(allowed.len()) else { return false };
    start.eq_ignore_ascii_case(allowed) && (rest.is_empty() || rest.starts_with('-'))
}

/// Whether a wish for this quantization is met by one of that name; families cover their members.
fn covers(wanted: &str, own: &str) -> bool {
    match wanted {
        "fp4" => matches!(own, "fp4" | "mxfp4" | "nvfp4"),
        "fp8" => matches!(own, "fp8" | "mxfp8"),
        wanted => wanted == own,
    }
}

/// `max_price`, read; per token, or per request and image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ceilings {
    pub prompt: Option<UnitPrice>,
    pub completion: Option<UnitPrice>,
    pub request: Option<UnitPrice>,
    pub image: Option<UnitPrice>,
    pub audio: Option<UnitPrice>,
}

impl Ceilings {
    /// Reads them. Surfaces have checked that they are numbers; finer ones than a price can have do not bind.
    fn of(text: &MaxPrice) -> Self {
        let per_million = |text: &Option<String>| UnitPrice::parse_per_million(text.as_deref()?).ok();
        let per_unit = |text: &Option<String>| UnitPrice::parse_per_unit(text.as_deref()?).ok();
        Self {
            prompt: per_million(&text.prompt),
            completion: per_million(&text.completion),
            request: per_unit(&text.request),
            image: per_unit(&text.image),
            audio: per_million(&text.audio),
        }
    }

    fn lower(self, other: Self) -> Self {
        let lower = |one: Option<UnitPrice>, two: Option<UnitPrice>| one.into_iter().chain(two).min();
        Self {
            prompt: lower(self.prompt, other.prompt),
            completion: lower(self.completion, other.completion),
            request: lower(self.request, other.request),
            image: lower(self.image, other.image),
            audio: lower(self.audio, other.audio),
        }
    }
}
