//! Who calls: the presented key, looked up in the snapshot.
//!
//! Pure. A well-formed key that the snapshot does not know is the pipeline's to look up at the control plane.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use switchyard_proto::code::ErrorCode;
use switchyard_proto::key::{self, KeyHash};

use crate::config::snapshot::{Key, Snapshot, Tenant};
use crate::error::RequestError;

/// Who calls, proven.
#[derive(Debug, Clone)]
pub struct Caller {
    pub tenant: Arc<Tenant>,
    pub key: Arc<Key>,
}

/// Why nobody was identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    #[error("no key presented")]
    Missing,
    #[error("the presented text is no key")]
    Malformed,
    #[error("the presented text is an admin token")]
    Management,
    #[error("the snapshot does not know the key")]
    Unknown(KeyHash),
    #[error("the key is disabled")]
    Disabled,
    #[error("the tenant is disabled")]
    TenantDisabled,
    #[error("the key expired")]
    Expired,
}

/// Finds the caller of a request head.
///
/// # Errors
/// [`IdentifyError::Unknown`] says only that this snapshot does not know the key.
pub fn identify(config: &Snapshot, head: &HeaderMap, now: DateTime<Utc>) -> Result<Caller, IdentifyError> {
    let hash = hash(head)?;
    let key = config.keys.get(&hash).ok_or(IdentifyError::Unknown(hash))?;
    let tenant = config.tenants.get(&key.tenant).ok_or(IdentifyError::Unknown(hash))?;
    check(Caller { tenant: tenant.clone(), key: key.clone() }, now)
}

/// Refuses a caller whose key or tenant may not be used.
///
/// # Errors
/// Which of the two it is, and why.
pub fn check(caller: Caller, now: DateTime<Utc>) -> Result<Caller, IdentifyError> {
    if caller.key.config.disabled {
        return Err(IdentifyError::Disabled);
    }
    if caller.tenant.config.disabled {
        return Err(IdentifyError::TenantDisabled);
    }
    if caller.key.expires_at.is_some_and(|at| at <= now) {
        return Err(IdentifyError::Expired);
    }
    Ok(caller)
}

/// The hash of the presented key.
///
/// # Errors
/// [`IdentifyError::Missing`], [`IdentifyError::Malformed`] and [`IdentifyError::Management`], without any lookup.
pub fn hash(head: &HeaderMap) -> Result<KeyHash, IdentifyError> {
    let presented = presented(head)?;
    match presented.starts_with(key::TOKEN_PREFIX) {
        true if key::is_well_formed_token(presented) => Err(IdentifyError::Management),
        false if key::is_well_formed(presented) => Ok(KeyHash::of(presented)),
        true | false => Err(IdentifyError::Malformed),
    }
}

/// The hash of a key or of an admin token: a tenant's own API takes both.
///
/// # Errors
/// [`IdentifyError::Missing`] and [`IdentifyError::Malformed`], without any lookup.
pub fn account_hash(head: &HeaderMap) -> Result<KeyHash, IdentifyError> {
    match hash(head) {
        Err(IdentifyError::Management) => presented(head).map(KeyHash::of),
        other => other,
    }
}

/// `Authorization: Bearer …`, else `x-api-key`, as Anthropic's clients send it.
fn presented(head: &HeaderMap) -> Result<&str, IdentifyError> {
    if let Some(value) = head.get(AUTHORIZATION) {
        let value = value.to_str().map_err(|_| IdentifyError::Malformed)?;
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        return match scheme.eq_ignore_ascii_case("bearer") {
            true if token.trim().is_empty() => Err(IdentifyError::Missing),
            true => Ok(token.trim()),
            false => Err(IdentifyError::Malformed),
        };
    }
    let value = head.get("x-api-key").ok_or(IdentifyError::Missing)?;
    value.to_str().map(str::trim).map_err(|_| IdentifyError::Malformed)
}

impl From<IdentifyError> for RequestError {
    fn from(error: IdentifyError) -> Self {
        use IdentifyError::*;
        let (code, text) = match error {
            Missing => {
                (ErrorCode::Authentication, "No API key was sent. Send `Authorization: Bearer <key>`.")
            }
            Malformed => (ErrorCode::Authentication, "The API key is malformed: it is not a complete key."),
            Management => {
                let text = "This is an admin token, which manages keys and runs no models. Send a key.";
                (ErrorCode::PermissionDenied, text)
            }
            Unknown(_) => (ErrorCode::Authentication, "The API key does not exist."),
            Disabled => (ErrorCode::PermissionDenied, "The API key is disabled."),
            TenantDisabled => (ErrorCode::PermissionDenied, "The tenant of this API key is disabled."),
            Expired => (ErrorCode::PermissionDenied, "The API key has expired."),
        };
        Self::new(code, text)
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1;

    use super::*;
    use crate::config::compile::compile;
    use crate::config::snapshot::Revision;

    const SECRET: &str = "a-secret-brought-from-elsewhere-0123";

    fn snapshot(change: impl FnOnce(&mut v1::KeyConfig, &mut v1::TenantConfig)) -> Snapshot {
        let mut tenant = v1::TenantConfig { id: "acme".into(), ..Default::default() };
        let mut key = v1::KeyConfig {
            id: "key_1".into(),
            tenant: "acme".into(),
            sha256: KeyHash::of(SECRET).0.to_vec(),
            ..Default::default()
        };
        change(&mut key, &mut tenant);
        let resource = |body| v1::Resource { revision: 1, body: Some(body) };
        let resources =
            vec![resource(v1::resource::Body::Tenant(tenant)), resource(v1::resource::Body::Key(key))];
        let revision = Revision { incarnation: "i".into(), number: 1 };
        compile(&Snapshot::default(), true, resources, revision).snapshot
    }

    fn head(name: &'static str, value: &str) -> HeaderMap {
        [(http::HeaderName::from_static(name), value.parse().unwrap())].into_iter().collect()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_known_key_is_found_under_either_header() {
        let config = snapshot(|_, _| {});
        for head in [
            head("authorization", &format!("Bearer {SECRET}")),
            head("authorization", &format!("bearer  {SECRET} ")),
            head("x-api-key", SECRET),
        ] {
            assert_eq!(identify(&config, &head, at(0)).unwrap().tenant.id.as_str(), "acme");
        }
    }

    #[test]
    fn what_is_no_key_is_told_apart_from_an_unknown_one() {
        let config = snapshot(|_, _| {});
        let check = |head: &HeaderMap| identify(&config, head, at(0)).unwrap_err();
        assert_eq!(check(&HeaderMap::new()), IdentifyError::Missing);
        assert_eq!(check(&head("authorization", "Bearer ")), IdentifyError::Missing);
        assert_eq!(check(&head("authorization", "Bearer")), IdentifyError::Missing);
        assert_eq!(check(&head("authorization", SECRET)), IdentifyError::Malformed);
        assert_eq!(check(&head("authorization", "Bearer sk-sy-v1-nonsense")), IdentifyError::Malformed);
        assert_eq!(check(&head("authorization", "Basic abc")), IdentifyError::Malformed);
        let token = key::generate(key::TOKEN_PREFIX).expose().to_owned();
        let token = head("x-api-key", &token);
        assert_eq!(check(&token), IdentifyError::Management);
        assert!(account_hash(&token).is_ok() && account_hash(&head("x-api-key", "sy-admin-v1-x")).is_err());
        let other = "another-secret-brought-from-elsewhere";
        let unknown = check(&head("authorization", &format!("Bearer {other}")));
        assert_eq!(unknown, IdentifyError::Unknown(KeyHash::of(other)));
    }

    #[test]
    fn a_key_that_may_not_be_used_says_why() {
        let ten = Some(prost_types::Timestamp { seconds: 10, nanos: 0 });
        let head = head("x-api-key", SECRET);
        let config = snapshot(|key, _| key.disabled = true);
        assert_eq!(identify(&config, &head, at(0)).unwrap_err(), IdentifyError::Disabled);
        let config = snapshot(|_, tenant| tenant.disabled = true);
        assert_eq!(identify(&config, &head, at(0)).unwrap_err(), IdentifyError::TenantDisabled);
        let config = snapshot(|key, _| key.expires_at = ten);
        assert_eq!(identify(&config, &head, at(10)).unwrap_err(), IdentifyError::Expired);
        assert!(identify(&config, &head, at(9)).is_ok());
    }
}
