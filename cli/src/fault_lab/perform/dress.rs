//! What the steps of a body look like on the wire: in how many writes, with what line ends, compressed.
//!
//! Pure, as all of `perform`.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, header};

use crate::fault_lab::perform::{Performance, Step};
use crate::fault_lab::script::Oddity;

/// An event in the dress that the oddity orders; only SSE has lines to dress.
pub fn dressed(bytes: Bytes, oddity: Option<Oddity>, is_sse: bool) -> Vec<Step> {
    match oddity {
        Some(Oddity::Crlf | Oddity::Comments) if !is_sse => vec![Step::Send(bytes)],
        Some(Oddity::Crlf) => vec![Step::Send(crlf(&bytes))],
        Some(Oddity::Comments) => vec![Step::Send(Bytes::from_static(b": a comment\n\n")), Step::Send(bytes)],
        Some(Oddity::Drip) => dripped(vec![Step::Send(bytes)]),
        Some(Oddity::Split) => {
            let middle = bytes.len() / 2;
            vec![Step::Send(bytes.slice(..middle)), Step::Send(bytes.slice(middle..))]
        }
        _ => vec![Step::Send(bytes)],
    }
}

/// One byte per write.
pub fn dripped(steps: Vec<Step>) -> Vec<Step> {
    let single = |step| match step {
        Step::Send(bytes) => (0..bytes.len()).map(|i| Step::Send(bytes.slice(i..=i))).collect(),
        other => vec![other],
    };
    steps.into_iter().flat_map(single).collect()
}

fn crlf(bytes: &[u8]) -> Bytes {
    // Within an event line feeds only end lines: in JSON they are escaped.
    let ends = |byte: &u8| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] };
    bytes.iter().flat_map(ends).collect::<Vec<u8>>().into()
}

/// A body in as many parts as its stream has pieces, a wait before each.
pub fn trickled(steps: Vec<Step>, shares: &[u64], between: Duration) -> Vec<Step> {
    let parts = shares.len().max(1);
    let mut slow = Vec::new();
    for step in steps {
        let Step::Send(body) = step else {
            slow.push(step);
            continue;
        };
        let size = body.len().div_ceil(parts).max(1);
        for part in 0..parts {
            let (from, to) = ((part * size).min(body.len()), ((part + 1) * size).min(body.len()));
            slow.push(Step::Wait(between));
            slow.extend(shares.get(part).copied().map(Step::Produced));
            slow.push(Step::Send(body.slice(from..to)));
        }
    }
    slow
}

/// Compressed as it goes, so that every write can be read at once.
pub fn gzipped(planned: Performance) -> Performance {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let last = planned.steps.iter().rposition(|step| matches!(step, Step::Send(_)));
    let squeeze = |(at, step)| match step {
        Step::Send(bytes) => Step::Send(squeezed(&mut encoder, &bytes, Some(at) == last)),
        other => other,
    };
    let steps = planned.steps.into_iter().enumerate().map(squeeze).collect();
    let mut headers = planned.headers;
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Performance { steps, headers, length: None, ..planned }
}

fn squeezed(encoder: &mut GzEncoder<Vec<u8>>, bytes: &[u8], ends: bool) -> Bytes {
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    let _ = if ends { encoder.try_finish() } else { encoder.flush() };
    std::mem::take(encoder.get_mut()).into()
}
