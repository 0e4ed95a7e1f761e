//! What a tenant pays for an attempt: the cost with a mark-up, or a price of its own.

use std::sync::Arc;

use switchyard_proto::price::Prices;
use switchyard_proto::v1;

use crate::config::snapshot::Endpoint;

/// A tenant's rules in their order, and what holds where none does.
#[derive(Debug, Clone)]
pub struct Book {
    pub rules: Vec<Rule>,
    pub otherwise: Terms,
}

/// What is paid for some models, at some providers.
#[derive(Debug, Clone)]
pub struct Rule {
    /// A model, or `author/*`; empty: every model.
    pub model: String,
    /// Empty: every provider.
    pub provider: String,
    pub terms: Terms,
}

#[derive(Debug, Clone)]
pub enum Terms {
    /// The cost and so many parts per million of it.
    MarkedUp(u64),
    Own(Box<Own>),
}

/// A price that does not follow the provider's.
#[derive(Debug, Clone)]
pub struct Own {
    pub prices: Prices,
    /// As pushed: recorded with each ledger line.
    pub text: Arc<v1::PriceParts>,
}

impl Book {
    /// Nothing but a mark-up.
    pub fn marked_up(ppm: u64) -> Self {
        Self { rules: Vec::new(), otherwise: Terms::MarkedUp(ppm) }
    }

    /// What is paid at an endpoint: by the first rule that covers it.
    pub fn terms(&self, endpoint: &Endpoint) -> &Terms {
        let rule = self.rules.iter().find(|rule| rule.covers(endpoint));
        rule.map_or(&self.otherwise, |rule| &rule.terms)
    }
}

impl Rule {
    fn covers(&self, endpoint: &Endpoint) -> bool {
        let model = endpoint.model.as_str();
        let has_model = match self.model.strip_suffix('*') {
            _ if self.model.is_empty() => true,
            Some(author) => model.starts_with(author),
            None => model == self.model,
        };
        has_model && (self.provider.is_empty() || endpoint.provider.id.as_str() == self.provider)
    }
}

impl Terms {
    /// The mark-up in parts per million; none beside an own price.
    pub fn markup_ppm(&self) -> u64 {
        match self {
            Self::MarkedUp(ppm) => *ppm,
            Self::Own(_) => 0,
        }
    }

    /// The own price as it is recorded.
    pub fn own(&self) -> Option<Arc<v1::PriceParts>> {
        match self {
            Self::MarkedUp(_) => None,
            Self::Own(own) => Some(Arc::clone(&own.text)),
        }
    }
}
