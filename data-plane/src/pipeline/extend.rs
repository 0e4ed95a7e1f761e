//! Does to a request what it asks of the router itself, before it is planned.

use std::sync::Arc;

use serde_json::json;
use switchyard_proto::code::ErrorCode;

use crate::config::snapshot::Snapshot;
use crate::config::snapshot::preset::Preset;
use crate::error::RequestError;
use crate::extensions::caching::Wish;
use crate::extensions::preset::{self, Named};
use crate::extensions::{auto, compress, heal, plugins};
use crate::identity::Caller;
use crate::model::request::ChatRequest;
use crate::model::task::Operation;
use crate::pipeline::situation::now_ms;
use crate::pipeline::trail::Trail;
use crate::routing::names::Address;
use crate::routing::plan::Plan;

/// A request as it is planned and sent.
pub struct Extended {
    pub request: ChatRequest,
    /// Its answer is to be repaired where it is no JSON.
    pub heals: bool,
    /// Its answer may come from the cache.
    pub cache: Option<Wish>,
    is_auto: bool,
}

impl Extended {
    /// The plan, with the way in which its model was found.
    pub fn told(&self, plan: Plan) -> Arc<Plan> {
        let strategy = if self.is_auto { Address::Auto } else { plan.strategy };
        Arc::new(Plan { strategy, ..plan })
    }
}

/// Extends a request: its preset is laid under it, its plugins are read, its model is chosen, its middle left out.
///
/// # Errors
/// What the caller asked for that is not there, or cannot be done.
pub fn extend(
    config: &Snapshot,
    caller: &Caller,
    request: ChatRequest,
    trail: &mut Trail,
) -> Result<Extended, RequestError> {
    if request.task.operation() != Operation::Chat {
        // Presets, plugins and the cache are for chat.
        return Ok(Extended { request, heals: false, cache: None, is_auto: false });
    }
    let named = preset::named(&request)?;
    let preset = named.map(|named| find(config, caller, named)).transpose()?;
    let request = match named.zip(preset) {
        Some((named, preset)) => {
            trail.preset = preset.id.to_string();
            preset::apply(&request, named, preset)?
        }
        None => request,
    };
    let plugins = plugins::read(&request)?;
    let heals = plugins.heals && heal::is_json(request.response_format.as_ref());
    let mut request = plugins::without(request);
    let is_auto = request.model.as_deref().is_some_and(auto::is_auto);
    if is_auto {
        let mut chosen = auto::choose(config, caller, &plugins.auto, now_ms())?.into_iter();
        request.model = chosen.next();
        request.fallback_models.splice(0..0, chosen);
    }
    let request = compressed(config, caller, request, plugins.compresses, trail);
    let cache = Wish::of(trail.client.cache, preset, caller, &request);
    Ok(Extended { request, heals, cache, is_auto })
}

fn find<'a>(config: &'a Snapshot, caller: &Caller, named: Named<'_>) -> Result<&'a Preset, RequestError> {
    let refuse = |why: &str| {
        let text = format!("The preset `{}` {why}.", preset::cut(named.preset));
        RequestError::new(ErrorCode::NotFound, text).field("preset")
    };
    match config.preset(&caller.tenant.id, named.preset) {
        None => Err(refuse("is not there")),
        Some(preset) if preset.config.disabled => Err(refuse("is disabled")),
        Some(preset) => Ok(preset),
    }
}

fn compressed(
    config: &Snapshot,
    caller: &Caller,
    request: ChatRequest,
    wish: Option<bool>,
    trail: &mut Trail,
) -> ChatRequest {
    let window = compress::window(config, &caller.tenant.id, &request);
    let Some(window) = window.filter(|window| compress::is_due(&request, *window, wish)) else {
        return request;
    };
    let Some((shorter, out)) = compress::middle_out(&request, window) else { return request };
    trail.step(json!({
        "type": "context_compression",
        "name": "middle-out",
        "summary": format!("{} messages were left out", out.messages),
        "data": {"messages": out.messages, "text_cut": out.is_text_cut, "context_length": window},
    }));
    // Plugins are still among the bytes that were read again.
    plugins::without(shorter).with_models_of(request)
}
