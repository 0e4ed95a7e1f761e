//! Amazon's request signature, version 4, for the service `bedrock`.

use crate::upstream::sign::aws::AwsKeys;
use crate::upstream::sign::{SignError, Unsigned};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as aws_sign};
use aws_sigv4::sign::v4;
use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

const SERVICE: &str = "bedrock";

/// Adds date, session token and signature. The path is signed encoded once more than it is sent, as all services but
/// S3 want it.
///
/// # Errors
/// A request that cannot be signed: a header that is not text.
pub fn sign(keys: &AwsKeys, region: &str, at: DateTime<Utc>, request: Unsigned<'_>) -> Result<(), SignError> {
    let unsignable = |_| SignError::auth("the request cannot be signed");
    let session = keys.session_token.as_ref().map(|token| token.expose().to_owned());
    let secret = keys.secret_access_key.expose();
    let identity = Credentials::new(&keys.access_key_id, secret, session, None, "switchyard").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(at.into())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| SignError::auth("the request cannot be signed"))?
        .into();
    let headers =
        request.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    // Hashed here: given the bytes, the library might log them.
    let body = SignableBody::Precomputed(hex(&Sha256::digest(request.body)));
    let signable = SignableRequest::new(request.method.as_str(), request.uri.to_string(), headers, body)
        .map_err(unsignable)?;
    let (instructions, _signature) = aws_sign(signable, &params).map_err(unsignable)?.into_parts();
    for (name, value) in instructions.headers() {
        let name = HeaderName::from_bytes(name.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value)) else {
            return Err(SignError::auth("the credential has characters that no header can carry"));
        };
        value.set_sensitive(true);
        request.headers.insert(name, value);
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The region to sign for: the row's where it is one of Amazon's, else the one in the host's name.
///
/// # Errors
/// Where neither names one.
pub fn region<'a>(row: &'a str, host: &'a str) -> Result<&'a str, SignError> {
    std::iter::once(row)
        .chain(host.split('.'))
        .find(|label| is_region(label))
        .ok_or_else(|| SignError::auth("neither the provider's region nor its host names an AWS region"))
}

/// `us-east-1`, `us-gov-west-1`: words and one digit at the end.
fn is_region(label: &str) -> bool {
    let words: Vec<&str> = label.split('-').collect();
    let Some((number, words)) = words.split_last() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    number.len() == 1
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (2..=4).contains(&words.len())
        && words[0].len() == 2
        && words.iter().all(is_word)
}

/// Keys of the documentation, which open nothing.
#[cfg(test)]
fn documented_keys(session: Option<&str>) -> AwsKeys {
    use switchyard_proto::secret::Secret;
    AwsKeys {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: session.map(Secret::new),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, Method, Uri};

    use super::*;

    const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

    fn signed(path: &str, session: Option<&str>) -> HeaderMap {
        let uri: Uri = format!("https://bedrock-runtime.us-east-1.amazonaws.com{path}").parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = Unsigned {
            method: &Method::POST,
            uri: &uri,
            headers: &mut headers,
            body: &Bytes::from_static(BODY.as_bytes()),
        };
        let at = "2026-11-22T12:00:00Z".parse().unwrap();
        sign(&documented_keys(session), "us-east-1", at, request).unwrap();
        headers
    }

    #[test]
    fn paths_are_signed_encoded_twice() {
        let arn =
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123xyz";
        for (path, signature) in [
            (
                "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/converse".to_owned(),
                "39b93262f318dfe149a94d51618cd8d9ba45293bad9e9cc217eaec16ee910fd8",
            ),
            (
                format!("/model/{arn}/converse"),
                "9f253c47ed16d8be1f6d0a0c723d44d022740988009a22311798d476c2de7453",
            ),
        ] {
            let headers = signed(&path, None);
            assert_eq!(headers["x-amz-date"], "20261122T120000Z");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/bedrock/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
            );
            assert_eq!(headers["authorization"], expected.as_str(), "{path}");
            assert!(!headers.contains_key("x-amz-security-token"));
        }
    }

    #[test]
    fn a_session_token_is_sent_and_signed_and_does_not_print() {
        let headers = signed("/model/m/converse", Some("canary-session"));
        assert_eq!(headers["x-amz-security-token"], "canary-session");
        let authorization = headers["authorization"].to_str().unwrap();
        assert!(authorization.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"));
        assert!(!format!("{headers:?}").contains("canary"));
    }

    #[test]
    fn the_region_is_the_rows_or_the_hosts() {
        for (row, host, expected) in [
            ("", "bedrock-runtime.us-east-1.amazonaws.com", Some("us-east-1")),
            ("eu-central-1", "bedrock-runtime.us-east-1.amazonaws.com", Some("eu-central-1")),
            ("eu", "bedrock-runtime.eu-west-3.amazonaws.com", Some("eu-west-3")),
            ("", "bedrock-runtime-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("", "bedrock-runtime.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("", "vpce-0a1b-c2.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", Some("ap-southeast-2")),
            ("us-west-2", "proxy.example", Some("us-west-2")),
            ("", "proxy.example", None),
            ("data-center-1", "127.0.0.1", None),
        ] {
            assert_eq!(region(row, host).ok(), expected, "{row} {host}");
        }
    }
}
