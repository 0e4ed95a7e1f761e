//! Providers: configured upstreams, and the origin that their credential is sealed to.

use std::collections::BTreeMap;

use http::Uri;
use serde::Serialize;
use switchyard_proto::auth::Scheme;
use switchyard_proto::id::{ProviderId, TenantId};
use switchyard_proto::secret::Secret;

use crate::domain::{
    account::SpendLimit,
    invalid::{self, Invalid},
    meta::Meta,
    rates::Rates,
};

const LONGEST_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;
/// No model is faster.
const MOST_TOKENS_PER_SECOND: f64 = 100_000.0;

/// What the operator chooses of a provider, its credential apart.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Draft {
    /// A row of the built-in catalogue that says what the other fields do not; empty: none.
    pub profile: String,
    /// Shown to callers; empty: the id.
    pub display_name: String,
    /// A dialect.
    pub adapter: String,
    /// Origin and path prefix, without a slash at the end.
    pub base_url: String,
    /// A scheme of `switchyard_proto::auth`; empty: the adapter's own.
    pub auth: String,
    pub data_policy: DataPolicy,
    pub region: String,
    pub disabled: bool,
    pub quirks: BTreeMap<String, String>,
    /// Milliseconds; 0: the data plane's setting.
    pub connect_timeout_ms: u64,
    pub headers_timeout_ms: u64,
    pub first_content_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub total_timeout_ms: u64,
    /// A streamed answer that is slower over ten seconds has failed; 0: none is too slow.
    pub min_tokens_per_second: f64,
    /// Of its credential.
    pub rates: Rates,
    /// What each of its credentials may cost.
    pub credential_budget: Option<SpendLimit>,
}

/// What a provider does with prompts; `None`: unknown, treated as the worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct DataPolicy {
    pub retains_prompts: Option<bool>,
    pub trains: Option<bool>,
    /// It keeps nothing at all; `None`: as `retains_prompts` says.
    pub zdr: Option<bool>,
}

/// A provider as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    pub id: ProviderId,
    /// `None`: owned by the operator.
    pub tenant: Option<TenantId>,
    pub draft: Draft,
    pub has_credential: bool,
    /// Environment variable that the file names the credential by.
    pub credential_ref: String,
    pub meta: Meta,
}

/// What a change does to a provider's credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credential {
    #[default]
    Keep,
    Set(Secret),
    Remove,
}

impl Draft {
    /// The same with the base URL in its one form: no slash at the end.
    pub fn normal(mut self) -> Self {
        self.base_url.truncate(self.base_url.trim_end_matches('/').len());
        self
    }

    /// Checks everything that needs no other row, against the adapters that the data planes have. The profile is to
    /// be filled in already.
    ///
    /// # Errors
    /// Names the field as it is called in `Provider`.
    pub fn check(&self, adapters: &[&str]) -> Result<(), Invalid> {
        invalid::text("display_name", &self.display_name, 200)?;
        self.check_adapter(adapters)?;
        origin(&self.base_url)?;
        self.check_auth()?;
        self.data_policy.check()?;
        invalid::text("region", &self.region, 100)?;
        check_quirks(&self.quirks)?;
        self.rates.check()?;
        self.check_deadlines()
    }

    fn check_deadlines(&self) -> Result<(), Invalid> {
        for (field, timeout_ms) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("headers_timeout_ms", self.headers_timeout_ms),
            ("first_content_timeout_ms", self.first_content_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("total_timeout_ms", self.total_timeout_ms),
        ] {
            invalid::at_most(field, timeout_ms, LONGEST_TIMEOUT_MS)?;
        }
        if !(0.0..=MOST_TOKENS_PER_SECOND).contains(&self.min_tokens_per_second) {
            let reason = format!("is not between 0 and {MOST_TOKENS_PER_SECOND}");
            return Err(Invalid::new("min_tokens_per_second", reason));
        }
        Ok(())
    }

    fn check_adapter(&self, adapters: &[&str]) -> Result<(), Invalid> {
        invalid::required("adapter", &self.adapter, 100)?;
        if !adapters.contains(&self.adapter.as_str()) {
            let reason = format!("is `{}`, which is none of {}", self.adapter, adapters.join(", "));
            return Err(Invalid::new("adapter", reason));
        }
        Ok(())
    }

    fn check_auth(&self) -> Result<(), Invalid> {
        invalid::text("auth", &self.auth, 100)?;
        if self.auth.is_empty() {
            return Ok(());
        }
        self.auth.parse::<Scheme>().map(|_| ()).map_err(|unknown| Invalid::new("auth", unknown))
    }
}

impl DataPolicy {
    /// Who keeps nothing at all neither retains prompts nor trains on them.
    fn check(self) -> Result<(), Invalid> {
        if self.zdr == Some(true) && (self.retains_prompts == Some(true) || self.trains == Some(true)) {
            let reason = "cannot be true of a provider that retains prompts or trains on them";
            return Err(Invalid::new("data_policy.zdr", reason));
        }
        Ok(())
    }
}

/// Checks a credential: something that fits into a header.
///
/// # Errors
/// Says what is wrong, never what was sent.
pub fn check_credential(secret: &Secret) -> Result<(), Invalid> {
    let text = secret.expose();
    if text.len() > 16 * 1024 {
        return Err(Invalid::new("credential", "has more than 16384 bytes"));
    }
    // A service account is JSON with line breaks; the signer decides what goes into a header.
    if text.trim() != text || text.chars().any(|character| character.is_control() && character != '\n') {
        return Err(Invalid::new("credential", "has a control character, or space at its ends"));
    }
    Ok(())
}

/// Checks adapter quirks: short names and values.
///
/// # Errors
/// Names `quirks`, or the quirk.
pub fn check_quirks(quirks: &BTreeMap<String, String>) -> Result<(), Invalid> {
    for (name, value) in quirks {
        if name.trim().is_empty() {
            return Err(Invalid::new("quirks", "has one without a name"));
        }
        invalid::text("quirks", name, 100)?;
        invalid::text(&format!("quirks.{name}"), value, 1000)?;
    }
    Ok(())
}

/// The origin of a base URL: `https://host[:port]`, in lower case, without the scheme's own port.
///
/// # Errors
/// Anything but http(s) with a host and perhaps a path: no user, query or fragment.
pub fn origin(base_url: &str) -> Result<String, Invalid> {
    let bad = |reason: &str| Invalid::new("base_url", reason);
    if base_url.is_empty() {
        return Err(bad("is required"));
    }
    if base_url.contains('#') {
        return Err(bad("has a fragment"));
    }
    let uri: Uri = base_url.parse().map_err(|_| bad("is not a URL"))?;
    let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
    let scheme = scheme.ok_or_else(|| bad("does not start with http:// or https://"))?;
    let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(bad("has a user or password; give the credential apart"));
    }
    if uri.query().is_some() {
        return Err(bad("has a query"));
    }
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() {
        return Err(bad("has no host"));
    }
    let port =
        port(authority.as_str(), authority.port_u16()).ok_or_else(|| bad("has a port that is none"))?;
    let own = if scheme == "https" { 443 } else { 80 };
    Ok(match port {
        Some(port) if port != own => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

/// The port as a number; the outer `None` for a text after the colon that is no port.
fn port(authority: &str, number: Option<u16>) -> Option<Option<u16>> {
    let after_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    match (after_host.contains(':'), number) {
        (false, _) => Some(None),
        (true, Some(0) | None) => None,
        (true, number) => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_one_form() {
        for (base_url, expected) in [
            ("https://api.openai.com/v1", Ok("https://api.openai.com")),
            ("https://API.OpenAI.com:443/v1", Ok("https://api.openai.com")),
            ("http://127.0.0.1:8000", Ok("http://127.0.0.1:8000")),
            ("http://[::1]:80/x", Ok("http://[::1]")),
            ("https://[::1]:8443", Ok("https://[::1]:8443")),
            ("http://host:443", Ok("http://host:443")),
            ("", Err("is required")),
            ("api.openai.com", Err("does not start with http:// or https://")),
            ("/v1", Err("does not start with http:// or https://")),
            ("ftp://host", Err("does not start with http:// or https://")),
            ("file:///etc/passwd", Err("is not a URL")),
            ("https://", Err("is not a URL")),
            ("https://user:pw@host/v1", Err("has a user or password; give the credential apart")),
            ("https://host/v1?key=1", Err("has a query")),
            ("https://host/v1#x", Err("has a fragment")),
            ("https://ho st", Err("is not a URL")),
            ("https://host:99999", Err("has a port that is none")),
            ("https://host:", Err("has a port that is none")),
        ] {
            let found = origin(base_url);
            let found = found.as_deref().map_err(|invalid| invalid.reason.as_str());
            assert_eq!(found, expected, "{base_url}");
        }
    }

    #[test]
    fn a_draft_is_checked_by_field() {
        let fine = Draft {
            adapter: "openai".into(),
            base_url: "https://api.openai.com/v1".into(),
            ..Draft::default()
        };
        assert_eq!(fine.check(&["anthropic", "openai"]), Ok(()));
        let signed = Draft { auth: "sigv4".into(), ..fine.clone() };
        assert_eq!(signed.check(&["anthropic", "openai"]), Ok(()));
        let keeping = |retains_prompts, trains| DataPolicy { retains_prompts, trains, zdr: Some(true) };
        let clean = Draft { data_policy: keeping(Some(false), None), ..fine.clone() };
        assert_eq!(clean.check(&["openai"]), Ok(()));
        for (draft, field) in [
            (Draft { adapter: String::new(), ..fine.clone() }, "adapter"),
            (Draft { adapter: "opneai".into(), ..fine.clone() }, "adapter"),
            (Draft { base_url: "localhost".into(), ..fine.clone() }, "base_url"),
            (Draft { auth: "baerer".into(), ..fine.clone() }, "auth"),
            (Draft { auth: "header:host".into(), ..fine.clone() }, "auth"),
            (Draft { idle_timeout_ms: u64::MAX, ..fine.clone() }, "idle_timeout_ms"),
            (Draft { headers_timeout_ms: u64::MAX, ..fine.clone() }, "headers_timeout_ms"),
            (Draft { min_tokens_per_second: -1.0, ..fine.clone() }, "min_tokens_per_second"),
            (Draft { min_tokens_per_second: f64::NAN, ..fine.clone() }, "min_tokens_per_second"),
            (Draft { min_tokens_per_second: f64::INFINITY, ..fine.clone() }, "min_tokens_per_second"),
            (Draft { data_policy: keeping(Some(true), None), ..fine.clone() }, "data_policy.zdr"),
            (Draft { data_policy: keeping(None, Some(true)), ..fine.clone() }, "data_policy.zdr"),
            (
                Draft { rates: Rates { concurrency: Some(0), ..Rates::default() }, ..fine.clone() },
                "rates.concurrency",
            ),
            (Draft { quirks: [("a".into(), "\0".into())].into(), ..fine.clone() }, "quirks.a"),
        ] {
            assert_eq!(draft.check(&["anthropic", "openai"]).unwrap_err().field, field);
        }
        let unknown = Draft { adapter: "opneai".into(), ..fine }.check(&["anthropic", "openai"]);
        assert_eq!(unknown.unwrap_err().reason, "is `opneai`, which is none of anthropic, openai");
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        let draft = Draft { base_url: "https://host/v1//".into(), ..Draft::default() };
        assert_eq!(draft.normal().base_url, "https://host/v1");
    }

    #[test]
    fn credentials_do_not_show_in_the_reason() {
        let bad = Secret::new(" sk-canary ");
        assert!(!check_credential(&bad).unwrap_err().to_string().contains("canary"));
        assert_eq!(check_credential(&Secret::new("sk-1")), Ok(()));
    }
}
