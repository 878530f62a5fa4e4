//! Which hosts may be reached.

use std::fmt;
use std::str::FromStr;

/// `HOST` or `HOST:PORT`: a name or an address, with one port or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: String,
    port: Option<u16>,
}

/// What was given is no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no HOST or HOST:PORT, as in example.org, 127.0.0.1:8080 or [::1]:80")]
pub struct NotAHost(String);

impl AllowedHost {
    /// Whether this is it. `host` is as a URL has it.
    pub(super) fn is(&self, host: &str, port: u16) -> bool {
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for AllowedHost {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<AllowedHost, NotAHost> {
        let refused = || NotAHost(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of an address in brackets may be inside them.
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse::<u16>().map_err(|_| refused())?))
            }
            _ => (text, None),
        };
        let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match is_address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                !host.is_empty() && host.bytes().all(of_name)
            }
        };
        if !is_host || port == Some(0) {
            return Err(refused());
        }
        Ok(AllowedHost { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_allowed_with_one_port_or_with_all() {
        let allows = |allowed: &str, host: &str, port| allowed.parse::<AllowedHost>().unwrap().is(host, port);
        assert!(allows("Example.org", "example.ORG", 80) && allows("example.org", "example.org", 8_080));
        assert!(allows("127.0.0.1:81", "127.0.0.1", 81) && !allows("127.0.0.1:81", "127.0.0.1", 80));
        assert!(allows("[::1]", "[::1]", 80) && allows("[::1]:81", "[::1]", 81));
        assert!(!allows("[::1]:81", "[::1]", 80) && !allows("example.org", "www.example.org", 80));
        assert!(!allows("example.org", "example.org.evil.net", 80));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in
            ["", ":80", "a b", "http://a", "a/b", "a:x", "a:0", "a:65536", "[::1", "::1", "[a]", "a@b", "*"]
        {
            assert_eq!(text.parse::<AllowedHost>(), Err(NotAHost(text.to_owned())), "{text}");
        }
    }
}
