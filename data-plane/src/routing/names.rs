//! Model addressing: ids, aliases, bare names, suffixes (`:free`, `:nitro`), and the newest of a family
//! (`~author/family-latest`).

use std::ops::Bound;
use std::sync::Arc;

use crate::config::snapshot::{Model, Snapshot};
use crate::model::preferences::SortBy;
use crate::routing::filter;
use crate::routing::inputs::Inputs;
use crate::routing::plan::PlanError;

/// A model to be served, as it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub model: &'a Arc<Model>,
    pub suffixes: Suffixes,
    pub address: Address,
}

/// What a name says besides the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suffixes {
    /// Only endpoints without a price.
    pub free: bool,
    /// Endpoints of the priority tier may serve.
    pub nitro: bool,
    /// Endpoints of the flex tier may serve.
    pub floor: bool,
    /// The order that the last suffix asks for.
    pub sort: Option<SortBy>,
}

/// How a name led to its model; the words are those of `openrouter_metadata.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    Direct,
    /// By another name of the model.
    Alias,
    /// `~author/family-latest`.
    Latest,
    /// By a policy: `policy/NAME`, or one that matched.
    Policy,
    /// By the automatic model.
    Auto,
}

impl Address {
    /// The word in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Alias => "alias",
            Self::Latest => "latest",
            Self::Policy => "policy",
            Self::Auto => "auto",
        }
    }
}

/// Why a name leads nowhere; put into words only where it is the answer.
#[derive(Debug, Clone, Copy)]
pub enum Nowhere<'a> {
    Unknown(&'a str),
    /// The model is there, the suffix is not.
    Suffix {
        name: &'a str,
        suffix: &'a str,
    },
    /// The caller may not use it.
    Forbidden(&'a Model),
}

/// The models asked for, in order, each once. An unknown fallback is passed over while another model is known.
///
/// # Errors
/// [`PlanError`] where nothing is left, or the first name is wrong: that is a mistake to hear of.
pub fn resolve<'a>(config: &'a Snapshot, inputs: &Inputs<'a>) -> Result<Vec<Target<'a>>, PlanError> {
    let mut found: Vec<Target<'a>> = Vec::with_capacity(1 + inputs.fallback_models.len());
    let mut problem = None;
    for (at, name) in inputs.models().enumerate() {
        match target(config, inputs, name) {
            Ok(target) if found.iter().any(|known| known.model.id == target.model.id) => {}
            Ok(target) => found.push(target),
            Err(nowhere) if at == 0 && inputs.model.is_some() && !nowhere.is_forbidden() => {
                return Err(nowhere.error(config));
            }
            // Wrong fallbacks of a right model are not worth failing for.
            Err(nowhere) => problem = problem.or(Some(nowhere)),
        }
    }
    match (found.is_empty(), problem) {
        (false, _) => Ok(found),
        (true, Some(nowhere)) => Err(nowhere.error(config)),
        (true, None) => Err(PlanError::NoModel),
    }
}

/// The model of one name, which the caller may use.
///
/// # Errors
/// [`Nowhere`] says why there is none.
pub fn target<'a>(
    config: &'a Snapshot,
    inputs: &Inputs<'_>,
    name: &'a str,
) -> Result<Target<'a>, Nowhere<'a>> {
    let target = find(config, inputs, name)?;
    if filter::may_use(inputs, target.model) { Ok(target) } else { Err(Nowhere::Forbidden(target.model)) }
}

/// The longest part of the name that is a model; what follows must be suffixes.
fn find<'a, 'n>(config: &'a Snapshot, inputs: &Inputs<'_>, name: &'n str) -> Result<Target<'a>, Nowhere<'n>> {
    let mut base = name;
    loop {
        if let Some((model, address)) = base_model(config, inputs, base) {
            let mut suffixes = Suffixes::default();
            for suffix in name[base.len()..].split(':').skip(1) {
                suffixes = suffixes.with(suffix).ok_or(Nowhere::Suffix { name, suffix })?;
            }
            return Ok(Target { model, suffixes, address });
        }
        base = base.rsplit_once(':').ok_or(Nowhere::Unknown(name))?.0;
    }
}

impl Suffixes {
    fn with(self, suffix: &str) -> Option<Self> {
        match suffix {
            "free" => Some(Self { free: true, ..self }),
            "nitro" => Some(Self { nitro: true, sort: Some(SortBy::Throughput), ..self }),
            "floor" => Some(Self { floor: true, sort: Some(SortBy::Price), ..self }),
            "exacto" => Some(Self { sort: Some(SortBy::Exacto), ..self }),
            _ => None,
        }
    }
}

fn base_model<'a>(
    config: &'a Snapshot,
    inputs: &Inputs<'_>,
    name: &str,
) -> Option<(&'a Arc<Model>, Address)> {
    if let Some(family) = name.strip_prefix('~') {
        let family = family.strip_suffix("-latest").filter(|family| family.contains('/'))?;
        return newest(config, inputs, family).map(|model| (model, Address::Latest));
    }
    let model = config.model(name)?;
    let address = if model.id.as_str() == name { Address::Direct } else { Address::Alias };
    Some((model, address))
}

/// The newest model that the caller sees whose id starts with this; variants with a suffix of their own are not meant.
fn newest<'a>(config: &'a Snapshot, inputs: &Inputs<'_>, family: &str) -> Option<&'a Arc<Model>> {
    let models = &config.catalogue.models;
    let from = models.range::<str, _>((Bound::Included(family), Bound::Unbounded));
    let family = from.take_while(|(id, _)| id.as_str().starts_with(family)).filter(|(id, _)| {
        let rest = &id.as_str()[family.len()..];
        // `author/claude` is the family of `author/claude-5`, not of `author/claudette`.
        !rest.starts_with(|next: char| next.is_ascii_alphabetic()) && !rest.contains(':')
    });
    let visible = family.map(|(_, model)| model).filter(|model| {
        !model.config.disabled
            && model.endpoints.iter().any(|endpoint| endpoint.is_enabled())
            && filter::may_use(inputs, model)
    });
    let created = |model: &Model| model.config.created.map_or((i64::MIN, 0), |at| (at.seconds, at.nanos));
    visible.max_by_key(|model| created(model))
}

impl Nowhere<'_> {
    fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_))
    }

    fn error(self, config: &Snapshot) -> PlanError {
        match self {
            Self::Unknown(name) => {
                PlanError::UnknownModel { name: name.to_owned(), suffix: None, near: near(config, name) }
            }
            Self::Suffix { name, suffix } => PlanError::UnknownModel {
                name: name.to_owned(),
                suffix: Some(suffix.to_owned()),
                near: Vec::new(),
            },
            Self::Forbidden(model) => PlanError::Forbidden { model: model.id.to_string() },
        }
    }
}

/// At most three models whose names look like an unknown one, best first.
fn near(config: &Snapshot, name: &str) -> Vec<String> {
    let asked = name.trim_start_matches('~');
    let tail = |id: &str| id.split_once('/').map_or(id.to_owned(), |(_, tail)| tail.to_owned());
    let enabled = config.catalogue.models.values().filter(|model| !model.config.disabled);
    let mut near: Vec<(f64, &str)> = enabled
        .map(|model| {
            let id = model.id.as_str();
            let likeness = strsim::jaro_winkler(asked, id).max(strsim::jaro_winkler(&tail(asked), &tail(id)));
            (likeness, id)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|one, two| two.0.total_cmp(&one.0).then(one.1.cmp(two.1)));
    near.iter().take(3).map(|(_, id)| (*id).to_owned()).collect()
}
