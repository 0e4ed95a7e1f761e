//! Amazon's keys: as an operator writes them, and as a machine gets them (environment, file, container or instance role).

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::RequestBuilder;
use serde::Deserialize;
use switchyard_proto::clock;
use switchyard_proto::secret::Secret;
use url::Url;

use crate::settings::Cloud;
use crate::upstream::sign::SignError;
use crate::upstream::sign::ask::{self, Asker};
use crate::upstream::sign::source::{Fresh, Grant};

/// A pair of keys, with a session where they are temporary.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AwsKeys {
    #[serde(alias = "AccessKeyId", alias = "accessKeyId", alias = "aws_access_key_id")]
    pub access_key_id: String,
    #[serde(alias = "SecretAccessKey", alias = "secretAccessKey", alias = "aws_secret_access_key")]
    #[serde(deserialize_with = "ask::secret")]
    pub secret_access_key: Secret,
    #[serde(alias = "SessionToken", alias = "sessionToken", alias = "aws_session_token", alias = "Token")]
    #[serde(default, deserialize_with = "some_secret")]
    pub session_token: Option<Secret>,
}

fn some_secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()).map(Secret::new))
}

impl AwsKeys {
    /// Reads `ACCESS_KEY_ID:SECRET[:SESSION]`, or JSON with the members of Amazon's tools.
    ///
    /// # Errors
    /// Says what is missing, not what was there.
    pub fn parse(credential: &Secret) -> Result<Self, SignError> {
        let text = credential.expose().trim();
        let keys = if text.starts_with('{') { serde_json::from_str(text).ok() } else { Self::of_line(text) };
        keys.filter(Self::is_whole).ok_or_else(|| {
            SignError::auth("the credential is neither ACCESS_KEY_ID:SECRET[:SESSION] nor the same as JSON")
        })
    }

    fn of_line(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        Some(Self {
            access_key_id: parts.next()?.to_owned(),
            secret_access_key: Secret::new(parts.next()?),
            session_token: parts.next().map(Secret::new),
        })
    }

    fn is_whole(&self) -> bool {
        !self.access_key_id.is_empty() && !self.secret_access_key.is_empty()
    }
}

/// What the machine may sign with: the first of environment, shared file, container role and instance role.
///
/// # Errors
/// Where none of them has keys, or the one that should have does not answer well.
pub async fn fetch(asker: &Asker) -> Result<Fresh, SignError> {
    let cloud = &asker.cloud;
    if let Some(keys) = of_environment(cloud) {
        return Ok(Fresh { grant: Grant::Aws(keys), good_for: None });
    }
    if let Some(keys) = of_file(cloud).await? {
        return Ok(Fresh { grant: Grant::Aws(keys), good_for: None });
    }
    // A pod's own role by web identity is not spoken here; the node's must not stand in for it.
    if cloud.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return Err(SignError::auth(
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, and web identity is not supported; use a pod identity or keys",
        ));
    }
    match container(asker).await? {
        Some(request) => role(ask::json("the container's credentials service", request).await?),
        None => instance(asker).await,
    }
}

fn of_environment(cloud: &Cloud) -> Option<AwsKeys> {
    Some(AwsKeys {
        access_key_id: cloud.get("AWS_ACCESS_KEY_ID")?.to_owned(),
        secret_access_key: Secret::new(cloud.get("AWS_SECRET_ACCESS_KEY")?),
        session_token: cloud.get("AWS_SESSION_TOKEN").map(Secret::new),
    })
}

async fn of_file(cloud: &Cloud) -> Result<Option<AwsKeys>, SignError> {
    let named = cloud.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let usual = || cloud.get("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
    let Some(path) = named.or_else(usual) else { return Ok(None) };
    let profile = cloud.get("AWS_PROFILE").unwrap_or("default");
    Ok(ask::file(&path).await?.and_then(|text| of_profile(&text, profile)))
}

/// One profile of a shared credentials file.
fn of_profile(text: &Secret, profile: &str) -> Option<AwsKeys> {
    let mut is_ours = false;
    let (mut id, mut secret, mut session) = (None, None, None);
    for line in text.expose().lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.split(']').next()) {
            is_ours = name.trim() == profile;
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_ours) else { continue };
        let value = value.trim();
        match name.trim() {
            "aws_access_key_id" => id = Some(value.to_owned()),
            "aws_secret_access_key" => secret = Some(Secret::new(value)),
            "aws_session_token" => session = Some(Secret::new(value)),
            _ => {}
        }
    }
    let keys = AwsKeys { access_key_id: id?, secret_access_key: secret?, session_token: session };
    keys.is_whole().then_some(keys)
}

/// The request to a container's credentials service, where the environment names one.
async fn container(asker: &Asker) -> Result<Option<RequestBuilder>, SignError> {
    let cloud = &asker.cloud;
    let url = match (
        cloud.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        cloud.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    ) {
        (Some(path), _) => format!("http://169.254.170.2{path}"),
        (None, Some(url)) => url.to_owned(),
        (None, None) => return Ok(None),
    };
    let url = Url::parse(&url).ok().filter(may_hold_a_role).ok_or_else(|| {
        SignError::auth("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor a host's own address")
    })?;
    let token = match cloud.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => ask::file(&PathBuf::from(path)).await?,
        None => cloud.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new),
    };
    let request = asker.http.get(url);
    Ok(Some(match token {
        Some(token) => request.header("authorization", token.expose().trim()),
        None => request,
    }))
}

/// Plain http is for the machine's own services alone.
fn may_hold_a_role(url: &Url) -> bool {
    const OWN: [&str; 4] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "localhost"];
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    url.scheme() == "https" || is_loopback || url.host_str().is_some_and(|host| OWN.contains(&host))
}

/// The instance's role, by the second version of the metadata service, which wants a session of its own.
async fn instance(asker: &Asker) -> Result<Fresh, SignError> {
    const WHAT: &str = "the instance's metadata service";
    let cloud = &asker.cloud;
    if cloud.get("AWS_EC2_METADATA_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Err(SignError::auth("this machine has no AWS credentials, and its metadata service is off"));
    }
    let base = cloud.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or("http://169.254.169.254");
    let base = base.trim_end_matches('/');
    let session = asker
        .http
        .put(format!("{base}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
    let session = Secret::new(ask::text(WHAT, session).await?);
    let get = |path: &str| {
        asker
            .http
            .get(format!("{base}/latest/meta-data/iam/security-credentials/{path}"))
            .header("x-aws-ec2-metadata-token", session.expose())
    };
    let name = ask::text(WHAT, get("")).await?;
    role(ask::json(WHAT, get(&name)).await?)
}

/// What roles are told to whoever runs in them.
#[derive(Debug, Deserialize)]
struct Role {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(flatten)]
    keys: Option<AwsKeys>,
    #[serde(rename = "Expiration")]
    expiration: Option<DateTime<Utc>>,
}

fn role(role: Role) -> Result<Fresh, SignError> {
    let is_well = role.code.as_deref().is_none_or(|code| code == "Success");
    let keys = role.keys.filter(|keys| is_well && keys.is_whole());
    let keys = keys.ok_or_else(|| SignError::auth("the machine's role has no credentials"))?;
    let left = role.expiration.map(|at| (at - clock::now()).to_std().unwrap_or(Duration::ZERO));
    if left.is_some_and(|left| left.is_zero()) {
        return Err(SignError::auth("the machine's role has credentials that have expired"));
    }
    Ok(Fresh { grant: Grant::Aws(keys), good_for: left })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, secret: &str, session: Option<&str>) -> AwsKeys {
        AwsKeys {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret),
            session_token: session.map(Secret::new),
        }
    }

    #[test]
    fn keys_are_read_as_a_line_and_as_json() {
        for (text, expected) in [
            ("AK:s/+=", Some(keys("AK", "s/+=", None))),
            ("AK:s:t:with:colons", Some(keys("AK", "s", Some("t:with:colons")))),
            (r#"{"access_key_id":"AK","secret_access_key":"s"}"#, Some(keys("AK", "s", None))),
            (
                r#"{"AccessKeyId":"AK","SecretAccessKey":"s","SessionToken":"t","Version":1}"#,
                Some(keys("AK", "s", Some("t"))),
            ),
            (
                r#"{"aws_access_key_id":"AK","aws_secret_access_key":"s","aws_session_token":""}"#,
                Some(keys("AK", "s", None)),
            ),
            ("AK", None),
            (":s", None),
            ("AK:", None),
            ("{}", None),
            (r#"{"access_key_id":"AK""#, None),
        ] {
            let found = AwsKeys::parse(&Secret::new(text));
            assert_eq!(found.ok(), expected, "{text}");
        }
    }

    #[test]
    fn errors_and_debug_show_no_key() {
        let error = AwsKeys::parse(&Secret::new("canary")).unwrap_err();
        assert!(!error.to_string().contains("canary"));
        assert!(!format!("{:?}", keys("AK", "canary", Some("canary"))).contains("canary"));
    }

    #[test]
    fn a_profile_is_read_from_a_shared_file() {
        let file = Secret::new(
            "# a comment\n[default]\naws_access_key_id = A1\naws_secret_access_key=S1\nregion = x\n\n\
             [other]\naws_access_key_id=A2\naws_secret_access_key = S=2\naws_session_token = T2\n[empty]\n",
        );
        assert_eq!(of_profile(&file, "default"), Some(keys("A1", "S1", None)));
        assert_eq!(of_profile(&file, "other"), Some(keys("A2", "S=2", Some("T2"))));
        assert_eq!(of_profile(&file, "empty"), None);
        assert_eq!(of_profile(&file, "none"), None);
    }

    #[test]
    fn plain_http_reaches_the_machines_own_services_alone() {
        for (url, expected) in [
            ("https://example.com/role", true),
            ("http://169.254.170.2/v2", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1", true),
            ("http://127.0.0.1:9999/x", true),
            ("http://localhost/x", true),
            ("http://example.com/role", false),
            ("http://169.254.169.254/x", false),
        ] {
            assert_eq!(may_hold_a_role(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
