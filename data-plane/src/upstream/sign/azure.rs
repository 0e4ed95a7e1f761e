//! Access tokens of Microsoft Entra's: for an application, or for the machine's managed identity.

use reqwest::RequestBuilder;
use serde::Deserialize;
use switchyard_proto::secret::Secret;
use url::Url;

use crate::settings::Cloud;
use crate::upstream::sign::SignError;
use crate::upstream::sign::ask::{self, Asker, TokenAnswer};
use crate::upstream::sign::source::{Fresh, Grant, Trust, place};

const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// Microsoft's own, in its several clouds.
const AUTHORITIES: &[&str] = &[
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
];

/// Where a token comes from.
#[derive(Debug)]
pub enum Source {
    Application(Application),
    /// The machine itself.
    Managed,
}

/// An application that signs in by itself.
#[derive(Debug)]
pub struct Application {
    endpoint: Url,
    client_id: String,
    client_secret: Secret,
    scope: String,
}

/// A credential as it is written.
#[derive(Deserialize)]
struct Written {
    tenant_id: String,
    client_id: String,
    #[serde(deserialize_with = "ask::secret")]
    client_secret: Secret,
    scope: Option<String>,
    authority: Option<String>,
}

impl Source {
    pub fn of(credential: &Secret, trust: Trust) -> Result<Self, SignError> {
        if credential.expose() == "ambient" {
            return Ok(Self::Managed);
        }
        let written: Written = serde_json::from_str(credential.expose()).map_err(|_| {
            SignError::auth("the credential is no JSON with tenant_id, client_id and client_secret")
        })?;
        application(written, trust).map(Self::Application)
    }

    pub async fn fetch(&self, asker: &Asker) -> Result<Fresh, SignError> {
        const WHAT: &str = "Microsoft's token endpoint";
        let answer = match self {
            Self::Managed => return managed(asker).await,
            Self::Application(application) => {
                let form = [
                    ("grant_type", "client_credentials"),
                    ("client_id", &application.client_id),
                    ("client_secret", application.client_secret.expose()),
                    ("scope", &application.scope),
                ];
                asker.token(WHAT, application.endpoint.clone(), &form).await?
            }
        };
        fresh(WHAT, answer)
    }
}

fn application(written: Written, trust: Trust) -> Result<Application, SignError> {
    let is_id = |id: &str| {
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    };
    if !is_id(&written.tenant_id) {
        return Err(SignError::auth("the credential's tenant_id is no id"));
    }
    let authority = written.authority.as_deref().unwrap_or(AUTHORITY);
    let authority = place(authority, trust, AUTHORITIES)?;
    let mut endpoint = authority;
    if let Ok(mut path) = endpoint.path_segments_mut() {
        path.pop_if_empty().extend([written.tenant_id.as_str(), "oauth2", "v2.0", "token"]);
    }
    Ok(Application {
        endpoint,
        client_id: written.client_id,
        client_secret: written.client_secret,
        scope: written.scope.unwrap_or_else(|| SCOPE.to_owned()),
    })
}

fn fresh(what: &str, answer: TokenAnswer) -> Result<Fresh, SignError> {
    let (token, good_for) = answer.checked(what)?;
    Ok(Fresh { grant: Grant::Token { token, quota_project: None }, good_for: Some(good_for) })
}

/// A token of the machine's identity: from the host's own service where the environment names one, else from the
/// metadata service.
async fn managed(asker: &Asker) -> Result<Fresh, SignError> {
    const WHAT: &str = "the machine's identity service";
    fresh(WHAT, ask::json(WHAT, request(asker)?).await?)
}

fn request(asker: &Asker) -> Result<RequestBuilder, SignError> {
    let cloud = &asker.cloud;
    let (base, version) = match cloud.get("IDENTITY_ENDPOINT") {
        Some(endpoint) => (endpoint.to_owned(), "2019-08-01"),
        None => (format!("{}/metadata/identity/oauth2/token", metadata(cloud)), "2018-02-01"),
    };
    let mut url: Url =
        base.parse().map_err(|_| SignError::auth("IDENTITY_ENDPOINT or its like is no URL"))?;
    let resource = SCOPE.trim_end_matches(".default");
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", resource);
    if let Some(id) = cloud.get("AZURE_CLIENT_ID") {
        url.query_pairs_mut().append_pair("client_id", id);
    }
    let request = asker.http.get(url).header("metadata", "true");
    Ok(match cloud.get("IDENTITY_HEADER") {
        Some(header) => request.header("x-identity-header", header),
        None => request,
    })
}

fn metadata(cloud: &Cloud) -> &str {
    cloud.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or("http://169.254.169.254").trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(json: &str, trust: Trust) -> Result<String, String> {
        match Source::of(&Secret::new(json), trust) {
            Ok(Source::Application(application)) => Ok(application.endpoint.to_string()),
            Ok(Source::Managed) => Ok("managed".to_owned()),
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn applications_sign_in_where_their_trust_allows() {
        let written = |tenant: &str, authority: &str| {
            format!(
                r#"{{"tenant_id":"{tenant}","client_id":"c","client_secret":"canary","authority":"{authority}"}}"#
            )
        };
        let usual = "https://login.microsoftonline.com/t-1/oauth2/v2.0/token";
        let elsewhere = "the credential asks for tokens elsewhere than at https://login.microsoftonline.com";
        for (json, trust, expected) in [
            (
                r#"{"tenant_id":"t-1","client_id":"c","client_secret":"s"}"#.to_owned(),
                Trust::Tenant,
                Ok(usual),
            ),
            (
                written("t-1", "https://login.microsoftonline.us/"),
                Trust::Tenant,
                Ok("https://login.microsoftonline.us/t-1/oauth2/v2.0/token"),
            ),
            (
                written("t-1", "http://127.0.0.1:5"),
                Trust::Operator,
                Ok("http://127.0.0.1:5/t-1/oauth2/v2.0/token"),
            ),
            (written("t-1", "http://login.microsoftonline.com"), Trust::Tenant, Err(elsewhere)),
            (written("t-1", "https://login.microsoftonline.com.evil.test"), Trust::Tenant, Err(elsewhere)),
            (written("t-1", "https://login.microsoftonline.com:8443"), Trust::Tenant, Err(elsewhere)),
            (written("t-1", "https://a@login.microsoftonline.com"), Trust::Tenant, Err(elsewhere)),
            (written("../x", AUTHORITY), Trust::Operator, Err("the credential's tenant_id is no id")),
            ("ambient".to_owned(), Trust::Operator, Ok("managed")),
            ("canary".to_owned(), Trust::Operator, Err("the credential is no JSON with")),
        ] {
            let found = endpoint(&json, trust);
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected), "{json}"),
                Err(expected) => {
                    let message = found.unwrap_err();
                    assert!(message.starts_with(expected), "{json}: {message}");
                    assert!(!message.contains("canary"), "{message}");
                }
            }
        }
    }
}
