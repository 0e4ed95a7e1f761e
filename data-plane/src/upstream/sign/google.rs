//! Access tokens of Google's: for a service account, a signed-in user, or whatever runs on the machine.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use switchyard_proto::clock;
use switchyard_proto::secret::Secret;
use url::Url;

use crate::upstream::sign::SignError;
use crate::upstream::sign::ask::{self, Asker, TokenAnswer};
use crate::upstream::sign::source::{Fresh, Grant, Trust, place};

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const TOKEN_HOSTS: &[&str] = &["oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"];
const WHAT: &str = "Google's token endpoint";
/// How long an assertion may be used, in seconds; the longest that Google takes.
const ASSERTION_SECONDS: i64 = 3600;

/// Where a token comes from.
#[derive(Debug)]
pub enum Source {
    Account(Account),
    /// Application default credentials, looked for anew with every fetch.
    Default,
}

/// Who signs in.
#[derive(Debug)]
pub enum Account {
    Service(ServiceAccount),
    User(User),
}

/// A service account's key.
pub struct ServiceAccount {
    email: String,
    key: Arc<RsaKeyPair>,
    key_id: Option<String>,
    token_uri: Url,
    quota_project: Option<String>,
}

/// A user who once signed in with Google's tools.
pub struct User {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    token_uri: Url,
    quota_project: Option<String>,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("email", &self.email).finish_non_exhaustive()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A credential as Google's tools write it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Written {
    ServiceAccount {
        client_email: String,
        #[serde(deserialize_with = "ask::secret")]
        private_key: Secret,
        private_key_id: Option<String>,
        token_uri: Option<String>,
        quota_project_id: Option<String>,
    },
    AuthorizedUser {
        client_id: String,
        #[serde(deserialize_with = "ask::secret")]
        client_secret: Secret,
        #[serde(deserialize_with = "ask::secret")]
        refresh_token: Secret,
        token_uri: Option<String>,
        quota_project_id: Option<String>,
    },
}

impl Source {
    pub fn of(credential: &Secret, trust: Trust) -> Result<Self, SignError> {
        if credential.expose() == "adc" {
            return Ok(Self::Default);
        }
        Account::parse(credential, trust).map(Self::Account)
    }

    pub async fn fetch(&self, asker: &Asker) -> Result<Fresh, SignError> {
        match self {
            Self::Account(account) => account.fetch(asker).await,
            Self::Default => match default_file(asker).await? {
                Some(account) => account.fetch(asker).await,
                None => metadata(asker).await,
            },
        }
    }
}

/// The file that the environment names, which must be there; else the one that `gcloud` writes, if it is there.
async fn default_file(asker: &Asker) -> Result<Option<Account>, SignError> {
    let cloud = &asker.cloud;
    if let Some(path) = cloud.get("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from) {
        let text = ask::file(&path).await?;
        let text = text.ok_or_else(|| SignError::auth(format!("`{}` is not there", path.display())))?;
        return Account::parse(&text, Trust::Operator).map(Some);
    }
    let folder = cloud.get("CLOUDSDK_CONFIG").map(PathBuf::from);
    let usual = || cloud.get("HOME").map(|home| PathBuf::from(home).join(".config/gcloud"));
    let Some(folder) = folder.or_else(usual) else { return Ok(None) };
    let text = ask::file(&folder.join("application_default_credentials.json")).await?;
    text.map(|text| Account::parse(&text, Trust::Operator)).transpose()
}

/// A token of the machine's own service account.
async fn metadata(asker: &Asker) -> Result<Fresh, SignError> {
    const WHAT: &str = "Google's metadata server";
    let host = asker.cloud.get("GCE_METADATA_HOST").unwrap_or("metadata.google.internal");
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let request = asker.http.get(url).header("metadata-flavor", "Google");
    fresh(WHAT, ask::json(WHAT, request).await?, None)
}

fn fresh(what: &str, answer: TokenAnswer, quota_project: Option<String>) -> Result<Fresh, SignError> {
    let (token, good_for) = answer.checked(what)?;
    Ok(Fresh { grant: Grant::Token { token, quota_project }, good_for: Some(good_for) })
}

impl Account {
    fn parse(credential: &Secret, trust: Trust) -> Result<Self, SignError> {
        let written: Written = serde_json::from_str(credential.expose()).map_err(|_| {
            SignError::auth("the credential is no JSON key of a service account or an authorized user")
        })?;
        let at = |uri: Option<String>| place(uri.as_deref().unwrap_or(TOKEN_URI), trust, TOKEN_HOSTS);
        Ok(match written {
            Written::ServiceAccount {
                client_email,
                private_key,
                private_key_id,
                token_uri,
                quota_project_id,
            } => Self::Service(ServiceAccount {
                email: client_email,
                key: Arc::new(key(&private_key)?),
                key_id: private_key_id,
                token_uri: at(token_uri)?,
                quota_project: quota_project_id,
            }),
            Written::AuthorizedUser {
                client_id,
                client_secret,
                refresh_token,
                token_uri,
                quota_project_id,
            } => Self::User(User {
                client_id,
                client_secret,
                refresh_token,
                token_uri: at(token_uri)?,
                quota_project: quota_project_id,
            }),
        })
    }

    async fn fetch(&self, asker: &Asker) -> Result<Fresh, SignError> {
        let (answer, quota_project) = match self {
            Self::Service(account) => {
                let assertion = Secret::new(account.assertion(clock::now())?);
                let form = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
                    ("assertion", assertion.expose()),
                ];
                (asker.token(WHAT, account.token_uri.clone(), &form).await?, &account.quota_project)
            }
            Self::User(user) => {
                let form = [
                    ("grant_type", "refresh_token"),
                    ("client_id", &user.client_id),
                    ("client_secret", user.client_secret.expose()),
                    ("refresh_token", user.refresh_token.expose()),
                ];
                (asker.token(WHAT, user.token_uri.clone(), &form).await?, &user.quota_project)
            }
        };
        fresh(WHAT, answer, quota_project.clone())
    }
}

/// An RSA key in PKCS#8 PEM.
fn key(pem: &Secret) -> Result<RsaKeyPair, SignError> {
    let bad = "the credential's private_key is no RSA key in PKCS#8 PEM";
    let der =
        PrivatePkcs8KeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| SignError::auth(bad))?;
    RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| SignError::auth(bad))
}

impl ServiceAccount {
    /// A signed statement of who asks, which the token endpoint exchanges for a token.
    fn assertion(&self, at: DateTime<Utc>) -> Result<String, SignError> {
        let mut head = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.key_id {
            head["kid"] = json!(id);
        }
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri.as_str(),
            "iat": at.timestamp(),
            "exp": at.timestamp() + ASSERTION_SECONDS,
        });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| SignError::auth("the credential's private_key cannot sign"))?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test; it opens nothing.
    const KEY: &str = include_str!("tests/service_account.json");

    fn edited(change: impl FnOnce(&mut serde_json::Value)) -> Secret {
        let mut value: serde_json::Value = serde_json::from_str(KEY).unwrap();
        change(&mut value);
        Secret::new(value.to_string())
    }

    #[test]
    fn the_assertion_is_what_openssl_would_sign() {
        let Ok(Account::Service(account)) = Account::parse(&Secret::new(KEY), Trust::Tenant) else {
            panic!("the test's key is a service account's")
        };
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(account.assertion(at).unwrap(), include_str!("tests/assertion.txt").trim());
        assert!(!format!("{account:?}").contains("BEGIN"));
    }

    #[test]
    fn accounts_are_read_and_kept_to_googles_hosts() {
        let elsewhere = "the credential asks for tokens elsewhere than at https://oauth2.googleapis.com";
        let user = r#"{"type":"authorized_user","client_id":"c","client_secret":"s","refresh_token":"r"}"#;
        for (credential, trust, expected) in [
            (Secret::new(KEY), Trust::Tenant, None),
            (Secret::new(user), Trust::Tenant, None),
            (edited(|key| key["token_uri"] = json!("http://127.0.0.1:1/token")), Trust::Operator, None),
            (
                edited(|key| key["token_uri"] = json!("http://127.0.0.1:1/token")),
                Trust::Tenant,
                Some(elsewhere),
            ),
            (
                edited(|key| key["token_uri"] = json!("https://oauth2.googleapis.com.evil.test/token")),
                Trust::Tenant,
                Some(elsewhere),
            ),
            (edited(|key| key["token_uri"] = json!("file:///etc/passwd")), Trust::Operator, Some(elsewhere)),
            (
                edited(|key| key["private_key"] = json!("canary")),
                Trust::Operator,
                Some("the credential's private_key is no RSA key"),
            ),
            (
                edited(|key| key["type"] = json!("external_account")),
                Trust::Operator,
                Some("the credential is no"),
            ),
            (Secret::new("canary"), Trust::Operator, Some("the credential is no JSON key")),
        ] {
            let found = Account::parse(&credential, trust).map(|_| ()).map_err(|error| error.message);
            match expected {
                None => assert_eq!(found, Ok(())),
                Some(start) => {
                    let message = found.unwrap_err();
                    assert!(message.starts_with(start) && !message.contains("canary"), "{message}");
                }
            }
        }
    }
}
