//! Somebody's URL as it is connected to: one reading of it, so that what is checked is what is asked.

use std::net::IpAddr;

use http::Uri;
use url::{Host, Url};

/// Longest URL that is read, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// Why a URL is not connected to. Prints no part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("it is not an http or https URL that can be read")]
    Unreadable,
    #[error("it holds a user name or a password")]
    Credentials,
}

/// Where to ask.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    pub uri: Uri,
    /// The host, where it is an address and no name, however it was written.
    pub literal: Option<IpAddr>,
}

/// Reads a URL the way browsers do: `0x7f.1` and `2130706433` are addresses.
///
/// # Errors
/// [`UrlError`] for other schemes, for credentials, and for what is no URL.
pub fn read(url: &str) -> Result<Address, UrlError> {
    if url.len() > MAX_BYTES {
        return Err(UrlError::Unreadable);
    }
    let mut url = Url::parse(url).map_err(|_| UrlError::Unreadable)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Unreadable);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    url.set_fragment(None);
    let literal = match url.host().ok_or(UrlError::Unreadable)? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    };
    let uri = url.as_str().parse().map_err(|_| UrlError::Unreadable)?;
    Ok(Address { uri, literal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_seen_however_they_are_written() {
        for (url, literal) in [
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://017700000001/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://0/", "0.0.0.0"),
            ("http://①②⑦.0.0.1/", "127.0.0.1"),
            ("http://169.254.169.254./", "169.254.169.254"),
            ("HTTPS://[::FFFF:7F00:1]:8443/x", "::ffff:127.0.0.1"),
            ("http://[64:ff9b::169.254.169.254]/", "64:ff9b::a9fe:a9fe"),
        ] {
            let found = read(url).unwrap();
            assert_eq!(found.literal, Some(literal.parse().unwrap()), "{url}");
            let host = found.uri.host().unwrap().trim_matches(['[', ']']);
            assert_eq!(
                host.parse::<IpAddr>().ok(),
                found.literal,
                "{url}: what is asked is what was checked"
            );
        }
        let named = read("https://Example.com:8443/a b?c=d#e").unwrap();
        assert_eq!(
            (named.uri.to_string().as_str(), named.literal),
            ("https://example.com:8443/a%20b?c=d", None)
        );
    }

    #[test]
    fn what_must_not_be_asked_is_no_address() {
        for (url, expected) in [
            ("ftp://example.com/x", UrlError::Unreadable),
            ("file:///etc/passwd", UrlError::Unreadable),
            ("gs://bucket/x.png", UrlError::Unreadable),
            ("//example.com/x", UrlError::Unreadable),
            ("http://", UrlError::Unreadable),
            ("http://1.2.3.4.5/", UrlError::Unreadable),
            ("http://[::1/", UrlError::Unreadable),
            ("http://user@example.com/", UrlError::Credentials),
            ("http://:secret@example.com/", UrlError::Credentials),
            ("http://example.com@127.0.0.1/", UrlError::Credentials),
        ] {
            assert_eq!(read(url), Err(expected), "{url}");
        }
        assert_eq!(read(&format!("http://example.com/{}", "x".repeat(MAX_BYTES))), Err(UrlError::Unreadable));
    }
}
