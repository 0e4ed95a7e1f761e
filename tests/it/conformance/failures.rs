//! Failures: their class, what they say about trying again, and what they must never say.

use switchyard_data_plane::adapters::{Adapter, Failure, FailureClass};

use super::exchange::Exchange;
use super::oracle::{retry_after, suspects};
use super::probe::{unwound, whole};

/// Checks an answer with an error status.
pub fn check(adapter: &dyn Adapter, exchange: &Exchange) -> Result<Failure, String> {
    let (status, headers, body) = (exchange.status, &exchange.headers, &exchange.body);
    let failure = unwound(|| adapter.failure(status, headers, body))?;
    let classes = suspects(status.as_u16(), headers, body);
    if !classes.allow(failure.class) {
        return Err(format!(
            "classified as {:?}, but it should be {classes:?}: {}",
            failure.class, failure.message
        ));
    }
    if let Some(expected) = retry_after(headers, body)
        && failure.retry_after != Some(expected)
    {
        return Err(format!("asks to wait {expected:?}, but {:?} was read", failure.retry_after));
    }
    if failure.status != Some(status) {
        return Err(format!("the status {status} was lost: {failure:?}"));
    }
    match whole(adapter, exchange, body)? {
        Ok(_) => return Err("an error status was decoded as an answer".to_owned()),
        Err(again) if again != failure => {
            return Err(format!("decode fails otherwise: {again:?}, {failure:?}"));
        }
        Err(_) => {}
    }
    check_garbage(adapter, exchange)?;
    check_text(&failure).map(|()| failure)
}

/// Edges answer in HTML, and bodies break off: the status must do.
fn check_garbage(adapter: &dyn Adapter, exchange: &Exchange) -> Result<(), String> {
    let half = exchange.body.len() / 2;
    for body in [&b""[..], b"<html>no</html>", b"[]", b"\xff\xfe", &exchange.body[..half]] {
        let failure = unwound(|| adapter.failure(exchange.status, &exchange.headers, body))?;
        check_text(&failure)?;
    }
    Ok(())
}

/// What a caller hears: something, no secret, and never that its own key is at fault for ours.
pub fn check_text(failure: &Failure) -> Result<(), String> {
    if failure.message.is_empty() {
        return Err(format!("a failure without a message: {failure:?}"));
    }
    let shown = [Some(&failure.message), failure.provider_code.as_ref()];
    if let Some(secret) =
        shown.into_iter().flatten().flat_map(|text| text.split_whitespace()).find(|word| is_secret(word))
    {
        return Err(format!("the message holds what looks like a secret: {secret}"));
    }
    let is_ours =
        matches!(failure.class, FailureClass::Auth | FailureClass::Permission | FailureClass::Payment);
    let status = failure.code.status().as_u16();
    if is_ours && matches!(status, 401..=403) {
        return Err(format!("a caller gets {status} for a credential of ours"));
    }
    Ok(())
}

fn is_secret(word: &str) -> bool {
    const BEGINNINGS: [&str; 9] = ["sk-", "sk_", "pk-", "gsk_", "AIza", "xai-", "hf_", "AKIA", "org-"];
    let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    BEGINNINGS.iter().any(|beginning| word.len() > 8 && word.starts_with(beginning))
}
