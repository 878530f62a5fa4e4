//! Where a request goes: a URL taken apart, and where a redirect leads from there.

use std::fmt;

use hyper::Uri;

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

/// A URL that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) scheme: Scheme,
    /// As in a URL: an IPv6 address in brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// With the query.
    pub(super) path: String,
}

impl Target {
    /// # Errors
    /// A text for the program.
    pub(super) fn parse(url: &str) -> Result<Target, String> {
        let whole = url.split('#').next().unwrap_or_default();
        let uri: Uri = whole.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(format!("{url:?} is no URL of http or https")),
        };
        let authority = uri.authority().ok_or_else(|| format!("{url:?} names no host"))?;
        if authority.as_str().contains('@') {
            return Err("a URL with a name and a password cannot be fetched; say them in a header".into());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let host = authority.host().to_ascii_lowercase();
        // The library takes anything that could be one for a port.
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None | Some("") => scheme.port(),
            Some(port) => {
                port_of(port).ok_or_else(|| format!("{url:?} has {port:?} where a port should be"))?
            }
        };
        Ok(Target { scheme, host, port, path })
    }

    /// Where `Location` leads from here (RFC 3986, 5.2).
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub(super) fn join(&self, location: &str) -> Result<Target, String> {
        let location = location.split('#').next().unwrap_or_default();
        if has_scheme(location) {
            return Target::parse(location);
        }
        if let Some(elsewhere) = location.strip_prefix("//") {
            return Target::parse(&format!("{}://{elsewhere}", self.scheme.name()));
        }
        let own = self.path.split('?').next().unwrap_or_default();
        let path = match location.chars().next() {
            None => self.path.clone(),
            Some('/') => plain(location),
            Some('?') => format!("{own}{location}"),
            Some(_) => {
                let folder = own.rfind('/').map_or("/", |end| &own[..=end]);
                plain(&format!("{folder}{location}"))
            }
        };
        Target::parse(&format!("{}{path}", self.origin()))
    }

    /// Scheme, host and port; a port that goes without saying is not said.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.authority())
    }

    /// Host and port, as in the header `Host`.
    pub(super) fn authority(&self) -> String {
        if self.port == self.scheme.port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

fn port_of(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn has_scheme(location: &str) -> bool {
    let Some((scheme, _)) = location.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A path without `.` and `..`.
fn plain(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut parts: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for part in path.split('/').skip(1) {
        ends_in_folder = matches!(part, "." | "..");
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut joined = format!("/{}", parts.join("/"));
    if ends_in_folder && !joined.ends_with('/') {
        joined.push('/');
    }
    match query {
        Some(query) => format!("{joined}?{query}"),
        None => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("HTTP://Example.org:8080/a?b=c#d").unwrap();
        assert_eq!(target.to_string(), "http://example.org:8080/a?b=c");
        assert_eq!(Target::parse("https://[::1]/").unwrap().authority(), "[::1]");
        assert_eq!(Target::parse("http://a").unwrap().to_string(), "http://a/");
        assert_eq!(Target::parse("http://a:/").unwrap().port, 80);
        for url in ["", "a", "/a", "ftp://a/", "http://", "http://me:secret@a/", "http://a b/"] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
        for port in ["x", "+80", "65536", "8 0"] {
            assert!(Target::parse(&format!("http://a:{port}/")).is_err(), "{port}");
        }
    }

    #[test]
    fn a_redirect_leads_on_from_where_one_is() {
        let from = Target::parse("http://a/b/c/d?q").unwrap();
        for (location, to) in [
            ("https://x:1/y", "https://x:1/y"),
            ("//x/y", "http://x/y"),
            ("/y?z", "http://a/y?z"),
            ("y", "http://a/b/c/y"),
            ("../y", "http://a/b/y"),
            ("../../../../y", "http://a/y"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("?r", "http://a/b/c/d?r"),
            ("#f", "http://a/b/c/d?q"),
            ("y:z/w", "y:z/w"),
        ] {
            match from.join(location) {
                Ok(target) => assert_eq!(target.to_string(), to, "{location}"),
                Err(text) => assert!(text.contains(to), "{location}: {text}"),
            }
        }
    }
}
