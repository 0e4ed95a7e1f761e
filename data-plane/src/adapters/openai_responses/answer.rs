//! Reads whole answers, and how answers of either kind end.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::adapters::openai_responses::teller::Teller;
use crate::adapters::openai_responses::usage;
use crate::adapters::openai_responses::wire::Response;
use crate::adapters::shared::openai_error::{bare, inside_success};
use crate::adapters::{Context, Failure, FailureClass};
use crate::model::event::{ChoiceDelta, Chunk, Event, Fold};
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;

/// Reads the body of a success.
pub fn decode(body: &Bytes, context: &Context) -> Result<ChatResponse, Failure> {
    let wire: Response<'_> =
        serde_json::from_slice(body).map_err(|_| Failure::malformed("an answer that is no response"))?;
    check(&wire)?;
    if wire.output.is_none() {
        return Err(bare(body));
    }
    if matches!(wire.status.get(), Some("queued" | "in_progress")) {
        return Err(Failure::malformed("an answer that has not ended"));
    }
    let (mut teller, mut fold) = (Teller::new(context.clone()), Fold::default());
    teller.identify(wire.id.get().unwrap_or_default());
    for piece in end(&mut teller, &wire, None) {
        fold.push(&Event::Chunk(Chunk { choices: vec![piece], ..Chunk::default() }));
    }
    Ok(ChatResponse {
        id: wire.id.owned(),
        created: wire.created_at.0,
        model: wire.model.owned(),
        usage: counts(&wire, &teller),
        service_tier: tier(&wire),
        ..fold.finish()
    })
}

/// The failure that a response tells of, if it does.
pub fn check(wire: &Response<'_>) -> Result<(), Failure> {
    if let Some(error) = wire.error {
        return Err(inside_success(error.get()));
    }
    match wire.status.get() {
        Some(status @ ("failed" | "cancelled")) => {
            Err(Failure::reported(FailureClass::Server, "", Some(status.to_owned())))
        }
        _ => Ok(()),
    }
}

/// What the end of an answer adds: untold items, then the finish. `status` stands in for a missing one.
pub fn end(teller: &mut Teller, wire: &Response<'_>, status: Option<&str>) -> Vec<ChoiceDelta> {
    let mut out = Vec::new();
    let (status, incomplete) = (wire.status.get().or(status), wire.incomplete_reason());
    teller.end(wire.items(), teller.finish(status, incomplete).reason, &mut out);
    let finish = Some(teller.finish(status, incomplete));
    out.push(ChoiceDelta { finish, ..ChoiceDelta::default() });
    out
}

/// The counts, if there are any.
pub fn counts(wire: &Response<'_>, teller: &Teller) -> Option<Usage> {
    let of = |raw: &RawValue| usage::parse(raw, wire.tool_usage, teller.searched());
    wire.usage.and_then(of)
}

/// The tier that served; `auto` is what was asked for and tells nothing.
pub fn tier(wire: &Response<'_>) -> Option<String> {
    wire.service_tier.owned().filter(|tier| tier != "auto")
}
