//! The client of a request.

use axum::extract::{ConnectInfo, Request};
use http::HeaderName;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A client's IPv4 address, or the /64 network of its IPv6 address, because a client chooses its
/// addresses within that network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

impl Client {
    /// The client of a request, by the address of its connection or, with `header`, by the address
    /// that a proxy has written there. `None` if there is no address.
    pub(crate) fn of(request: &Request, header: Option<&HeaderName>) -> Option<Self> {
        let Some(name) = header else {
            return request
                .extensions()
                .get::<ConnectInfo<SocketAddr>>()
                .map(|from| from.0.ip().into());
        };
        // The proxy adds the address of its client last; clients can write the ones before.
        let last = request.headers().get_all(name).iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.parse().ok()
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// The text names no address.
#[derive(Debug, PartialEq)]
pub(crate) struct NoAddress;

impl FromStr for Client {
    type Err = NoAddress;

    /// An address as proxies write it: alone, with a port, in brackets, in quotes, with a zone, or
    /// as the `for` of a `Forwarded` header.
    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let named = text.split(';').map(str::trim).find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then_some(value.trim())
        });
        let address = named.unwrap_or(text).trim().trim_matches('"');
        let host = match (address.strip_prefix('['), address.split_once(':')) {
            (Some(bracketed), _) => {
                let (host, port) = bracketed.split_once(']').ok_or(NoAddress)?;
                if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
                    return Err(NoAddress);
                }
                host
            }
            // One colon separates a port; an IPv6 address has more.
            (None, Some((host, port))) if is_port(port) && !host.is_empty() => host,
            _ => address,
        };
        let host = host.split('%').next().unwrap_or(host);
        host.parse::<IpAddr>().map(Self::from).map_err(|_| NoAddress)
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{Client, NoAddress};

    #[test]
    fn every_way_of_writing_an_address_is_read() {
        let client = |text: &str| text.parse::<Client>();
        let v4 = client("203.0.113.10").unwrap();
        for same in [
            " 203.0.113.10 ",
            "203.0.113.10:51234",
            "\"203.0.113.10:51234\"",
            "::ffff:203.0.113.10",
            "[::ffff:203.0.113.10]:80",
            "for=203.0.113.10",
            "For=\"203.0.113.10:80\";proto=https;by=10.0.0.1",
            "proto=https; for=203.0.113.10",
        ] {
            assert_eq!(client(same), Ok(v4), "{same}");
        }
        assert_ne!(client("203.0.113.11:51234"), Ok(v4));
        let v6 = client("2001:db8::9").unwrap();
        for same in [
            "[2001:db8::9]",
            "[2001:db8::9]:4711",
            "2001:db8:0:0:ffff:ffff:ffff:ffff",
            "for=\"[2001:db8::17]:4711\"",
            "2001:db8::9%eth0",
            "[2001:DB8::9%25eth0]",
        ] {
            assert_eq!(client(same), Ok(v6), "{same}");
        }
        assert_ne!(client("2001:db8:0:1::9"), Ok(v6));
        for none in [
            "",
            "unknown",
            "_hidden",
            "for=unknown",
            "for=_x;by=203.0.113.10",
            "203.0.113",
            "203.0.113.10:x",
            "[2001:db8::9",
            "[]",
            "host:80",
            ":80",
            "[::1]x",
        ] {
            assert_eq!(client(none), Err(NoAddress), "{none}");
        }
    }
}
