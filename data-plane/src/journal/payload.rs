//! The payload of intents, closings and generations: a trace context, then the record as the control plane reads it.
//!
//! Pure. The trace context is W3C `traceparent` text, empty where the request was not sampled.

use prost::Message;
use switchyard_proto::v1::{self, usage_record};

/// Appends trace context and record.
pub(super) fn put(buffer: &mut Vec<u8>, traceparent: &str, record: &usage_record::Kind) {
    let traceparent = if traceparent.len() <= usize::from(u8::MAX) { traceparent } else { "" };
    buffer.push(u8::try_from(traceparent.len()).expect("checked on the line before"));
    buffer.extend_from_slice(traceparent.as_bytes());
    // A oneof encodes itself as the field of its message.
    record.encode(buffer);
}

/// Trace context and encoded `UsageRecord`.
pub(super) fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (traceparent, record) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(traceparent).ok()?, record))
}

/// Largest generation, so that it travels in one message with others.
pub(super) const LONGEST: usize = 256 << 10;

/// Cuts a generation down until it takes at most `bytes`: first what explains it, then what callers say of themselves.
///
/// A closing's space was reserved when nothing of this was known.
pub(super) fn fit(mut record: v1::GenerationRecord, bytes: usize) -> v1::GenerationRecord {
    if record.encoded_len() > bytes {
        record.decision = String::new();
    }
    if record.encoded_len() > bytes {
        for text in [
            &mut record.requested_model,
            &mut record.upstream_id,
            &mut record.finish_reason,
            &mut record.native_finish_reason,
            &mut record.user,
            &mut record.session,
            &mut record.app_title,
            &mut record.app_url,
            &mut record.user_agent,
        ] {
            shorten(text);
        }
    }
    record
}

/// Keeps the first 64 bytes, whole characters only.
fn shorten(text: &mut String) {
    let end = (0..=text.len().min(64)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_oneof_encodes_as_its_message() {
        let record = v1::AttemptRecord { attempt: 3, tenant: "t".into(), ..Default::default() };
        let mut bytes = Vec::new();
        put(&mut bytes, "00-ab-cd-01", &usage_record::Kind::Attempt(record.clone()));
        let (traceparent, encoded) = split(&bytes).unwrap();
        assert_eq!(traceparent, "00-ab-cd-01");
        let read = v1::UsageRecord::decode(encoded).unwrap();
        assert_eq!(read.kind, Some(usage_record::Kind::Attempt(record)));
    }

    #[test]
    fn a_generation_is_cut_to_the_space_there_is() {
        let long = "ä".repeat(5_000);
        let record = v1::GenerationRecord {
            id: vec![1; 16],
            requested_model: long.clone(),
            user: long.clone(),
            user_agent: long.clone(),
            decision: long,
            charge_nano: 9,
            ..Default::default()
        };
        let cut = fit(record.clone(), 2048);
        assert!(cut.encoded_len() <= 2048 && cut.decision.is_empty() && cut.charge_nano == 9);
        assert_eq!(fit(record.clone(), 1 << 20), record);
    }
}
