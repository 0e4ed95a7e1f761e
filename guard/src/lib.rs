//! The way out to URLs that callers and tenants have chosen, for both planes: which addresses may be connected to, a resolver
//! that hands out no others, and a connector over it.
//!
//! The address that was checked is the one that is connected to: nothing resolves a second time. Caps on size and time,
//! and that redirects are not followed, are the clients' business. Whose URLs may lead where is each plane's.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

pub mod address;

/// Connects to what the guard lets through, with TLS where the URL says so; HTTP/1.1, no proxies.
///
/// An address that stands in a URL itself never reaches the resolver: [`Guarded::check`] it first.
pub fn connector(guard: Guarded) -> HttpsConnector<HttpConnector<Guarded>> {
    let mut connector = HttpConnector::new_with_resolver(guard);
    connector.set_nodelay(true);
    connector.enforce_http(false);
    HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(connector)
}

/// A future of a name's addresses.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds a name's addresses.
pub trait Resolve: Send + Sync {
    /// Looks a name up.
    fn resolve(&self, name: &str) -> Resolving;
}

/// The machine's own resolver.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Resolve for System {
    fn resolve(&self, name: &str) -> Resolving {
        let name: Result<Name, _> = name.parse();
        Box::pin(async move {
            let name = name.map_err(|_| io::Error::other("no name that can be looked up"))?;
            Ok(GaiResolver::new().call(name).await?.map(|address| address.ip()).collect())
        })
    }
}

/// An address is not of the public internet, and only such are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is private, and private addresses are not allowed")]
pub struct Private;

/// Resolves names, and refuses one that has a single private address unless they are allowed.
#[derive(Clone)]
pub struct Guarded {
    names: Arc<dyn Resolve>,
    allow_private: bool,
}

impl std::fmt::Debug for Guarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").field("allow_private", &self.allow_private).finish_non_exhaustive()
    }
}

impl Guarded {
    /// A guard over the machine's own resolver.
    pub fn new(allow_private: bool) -> Self {
        Self::over(Arc::new(System), allow_private)
    }

    /// A guard over another resolver.
    pub fn over(names: Arc<dyn Resolve>, allow_private: bool) -> Self {
        Self { names, allow_private }
    }

    /// Checks an address that stands in a URL itself, since such never reach the resolver.
    ///
    /// # Errors
    /// [`Private`] where the address must not be connected to.
    pub fn check(&self, address: IpAddr) -> Result<(), Private> {
        if self.allow_private || !is_private(address) { Ok(()) } else { Err(Private) }
    }
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, guard) = (self.names.resolve(name.as_str()), self.clone());
        Box::pin(async move {
            let found = resolving.await?;
            if found.is_empty() {
                return Err(io::Error::other("the name has no address"));
            }
            // One private address among public ones is how a name is made to lead inside at the second try.
            for address in &found {
                guard.check(*address).map_err(io::Error::other)?;
            }
            let found: Vec<SocketAddr> = found.into_iter().map(|address| (address, 0).into()).collect();
            Ok(found.into_iter())
        })
    }
}

/// Whether an error, or what caused it, is a refusal of the guard.
pub fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if error.is::<Private>() {
            return true;
        }
        // An `io::Error` gives the cause of its content as its own, so the content is looked at first.
        at = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(content) => Some(content),
            None => error.source(),
        };
    }
    false
}

/// Whether an address is not of the public internet: loopback, private, link-local, shared, reserved, documentation,
/// multicast and their like, in every form that carries an IPv4 address inside an IPv6 one.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_broadcast()
        || v4.is_multicast()
        || v4.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || [a, b, c] == [192, 0, 0]
        // What a cloud tells its machines alone, at an address that looks public.
        || v4 == Ipv4Addr::new(168, 63, 129, 16)
        // Once anycast relays of 6to4.
        || [a, b, c] == [192, 88, 99]
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    match segments {
        // Mapped, compatible (with `::` and `::1` among them) and NAT64 addresses carry an IPv4 one at their end.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_private_v4(joined(high, low))
        }
        // 6to4 carries it at the front.
        [0x2002, high, low, ..] => is_private_v4(joined(high, low)),
        // NAT64 within one network, and IPv4 translated by the host.
        [0x64, 0xff9b, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => true,
        // Discard-only, Teredo and other protocol assignments, ORCHID, documentation (two ranges), segment routing.
        [0x100, 0, 0, _, ..] | [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] => true,
        [0x3fff, 0..0x1000, ..] | [0x5f00, ..] => true,
        // Unique local, link-local and site-local, multicast.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff, ..] => true,
        _ => false,
    }
}

fn joined(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_off_the_public_internet_are_private_in_every_disguise() {
        let public = [
            "8.8.8.8",
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "198.17.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ];
        let private = [
            "127.0.0.1",
            "127.255.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.2.1",
            "168.63.129.16",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::7f00:1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
        ];
        let rows = public.map(|one| (one, false)).into_iter().chain(private.map(|one| (one, true)));
        for (address, expected) in rows {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_refusal_is_found_under_what_wraps_it() {
        let wrapped = io::Error::other(io::Error::other(Private));
        assert!(is_refusal(&wrapped) && is_refusal(&Private));
        assert!(!is_refusal(&io::Error::other("else")));
    }
}
