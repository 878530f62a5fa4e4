//! Fetches: to a host that is allowed, on to where it sends one, within the bounds.

use everturn_dag::Ipld;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderValue, LOCATION, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::{Connected, connect, tls, told};
use super::request::{Redirects, Wanted, answer};
use super::target::Target;
use super::{AllowedHost, Answer, OutboundError, Settings};

/// Sends requests to hosts that are allowed.
pub struct Client {
    allowed: Vec<AllowedHost>,
    settings: Settings,
    tls: TlsConnector,
}

impl Client {
    /// One that reaches these hosts alone.
    ///
    /// # Errors
    /// [`OutboundError::Tls`].
    pub fn new(allowed: Vec<AllowedHost>, settings: Settings) -> Result<Client, OutboundError> {
        Ok(Client { allowed, settings, tls: tls()? })
    }

    /// Its bounds.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request and gives its answer, or why there is none.
    pub async fn fetch(&self, request: Ipld, key: &str) -> Answer {
        let wanted = Wanted::read(request, key)?;
        let origin = wanted.target.origin();
        let seconds = self.settings.answer_timeout.as_secs_f64();
        let within = timeout(self.settings.answer_timeout, self.follow(wanted)).await;
        within.unwrap_or_else(|_| Err(format!("{origin} did not answer within {seconds} seconds")))
    }

    async fn follow(&self, mut wanted: Wanted) -> Answer {
        for hop in 0..=self.settings.redirects_max {
            // The connection lives until its answer was read.
            let (_connected, head) = self.ask(&wanted).await?;
            let next = match (redirected(&head), wanted.redirects) {
                (Some(_), Redirects::Errors) => {
                    return Err(format!("{} redirects, which is an error here", wanted.target.origin()));
                }
                (Some(location), Redirects::Followed) => location,
                _ => {
                    let (head, body) = head.into_parts();
                    let body = self.read(body, &wanted.target).await?;
                    return Ok(answer(&head, body, &wanted.target, hop > 0));
                }
            };
            move_on(&mut wanted, head.status(), &next)?;
        }
        Err(format!("it was redirected more than {} times", self.settings.redirects_max))
    }

    async fn ask(&self, wanted: &Wanted) -> Result<(Connected, Response<Incoming>), String> {
        let target = &wanted.target;
        self.check(target)?;
        let failed = |what: String| format!("{} cannot be reached: {what}", target.origin());
        let connecting = timeout(self.settings.connect_timeout, connect(target, &self.tls)).await;
        let mut connected = connecting.map_err(|_| failed("it does not answer".into()))?.map_err(failed)?;
        let mut request = Request::new(Full::new(wanted.body.clone()));
        *request.method_mut() = wanted.method.clone();
        *request.uri_mut() = target.path.parse().map_err(|_| format!("{target} cannot be asked for"))?;
        *request.headers_mut() = wanted.headers.clone();
        let host = HeaderValue::from_str(&target.authority()).map_err(|error| failed(error.to_string()))?;
        request.headers_mut().insert(HOST, host);
        let head = connected.ask(request).await;
        let head = head.map_err(|what| format!("{} gave no answer: {what}", target.origin()))?;
        Ok((connected, head))
    }

    fn check(&self, target: &Target) -> Result<(), String> {
        let Target { host, port, .. } = target;
        if self.allowed.iter().any(|allowed| allowed.is(host, *port)) {
            return Ok(());
        }
        Err(format!(
            "{host}:{port} is not allowed; whoever starts this program allows it with --allow-net {host}:{port}"
        ))
    }

    async fn read(&self, mut body: Incoming, target: &Target) -> Result<Vec<u8>, String> {
        let bytes_max = self.settings.body_bytes_max;
        let too_large = || format!("the answer of {} has more than {bytes_max} bytes", target.origin());
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(too_large());
        }
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| format!("the answer of {} broke off: {}", target.origin(), told(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > bytes_max {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    }
}

/// Where an answer leads, if it is a redirect that says so.
fn redirected(head: &Response<Incoming>) -> Option<String> {
    let follows = matches!(
        head.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = head.headers().get(LOCATION).filter(|_| follows)?;
    Some(location.as_bytes().iter().map(|byte| char::from(*byte)).collect())
}

/// Turns a request to where it was sent on (the Fetch standard, HTTP-redirect fetch).
fn move_on(wanted: &mut Wanted, status: StatusCode, location: &str) -> Result<(), String> {
    let target = wanted.target.join(location)?;
    let becomes_get = match status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => wanted.method == Method::POST,
        StatusCode::SEE_OTHER => ![Method::GET, Method::HEAD].contains(&wanted.method),
        _ => false,
    };
    if becomes_get {
        wanted.method = Method::GET;
        wanted.body = Bytes::new();
        for name in ["content-encoding", "content-language", "content-location"] {
            wanted.headers.remove(name);
        }
        wanted.headers.remove(CONTENT_TYPE);
    }
    if target.origin() != wanted.target.origin() {
        for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            wanted.headers.remove(name);
        }
    }
    wanted.target = target;
    Ok(())
}
