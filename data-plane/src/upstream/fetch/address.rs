//! A caller's URL as it is connected to: one reading of it, so that what is checked is what is asked.

use std::net::IpAddr;

use http::Uri;
use url::{Host, Url};

use crate::upstream::fetch::FetchError;

/// Longest URL that is read, in bytes.
const MAX_BYTES: usize = 16 << 10;

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
/// [`FetchError`] for other schemes, for credentials, and for what is no URL.
pub fn read(url: &str) -> Result<Address, FetchError> {
    if url.len() > MAX_BYTES {
        return Err(FetchError::Url);
    }
    let mut url = Url::parse(url).map_err(|_| FetchError::Url)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FetchError::Url);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Credentials);
    }
    url.set_fragment(None);
    let literal = match url.host().ok_or(FetchError::Url)? {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
    };
    let uri = url.as_str().parse().map_err(|_| FetchError::Url)?;
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
            ("ftp://example.com/x", FetchError::Url),
            ("file:///etc/passwd", FetchError::Url),
            ("gs://bucket/x.png", FetchError::Url),
            ("//example.com/x", FetchError::Url),
            ("http://", FetchError::Url),
            ("http://1.2.3.4.5/", FetchError::Url),
            ("http://[::1/", FetchError::Url),
            ("http://user@example.com/", FetchError::Credentials),
            ("http://:secret@example.com/", FetchError::Credentials),
            ("http://example.com@127.0.0.1/", FetchError::Credentials),
        ] {
            assert_eq!(read(url), Err(expected), "{url}");
        }
        assert_eq!(read(&format!("http://example.com/{}", "x".repeat(MAX_BYTES))), Err(FetchError::Url));
    }
}
