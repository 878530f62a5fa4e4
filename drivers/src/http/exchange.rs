//! One request and its answer.
//!
//! Invariant: a place among the requests under way is held until the inside has answered or was given up, also when the client
//! has gone: a client cannot pile up work by going away.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use everturn_dag::Ipld;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::Answer;
use super::answer::{Decoded, Streamed};
use super::body::Body;
use super::connection::Stopping;
use super::inside::{Failure, Given, Inside, Stream};
use super::metrics::Metrics;
use super::own::{busy, last, plain};
use super::request::{self, Scheme, Unfit};
use super::settings::Settings;
use super::socket::{Accepted, Welcome};
use super::trouble::{Trouble, Troubles};
use super::{answer, idempotency, inside, socket};

/// Who answers the requests of a connection.
pub(super) trait Handler: Send + Sync + 'static {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        scheme: Scheme,
    ) -> impl Future<Output = Answer> + Send;
}

/// Answers with what the inside says.
pub(super) struct Exchange {
    inside: Arc<dyn Inside>,
    settings: Settings,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    /// Why there is no inside any more, once there is none.
    ended: watch::Sender<Option<Failure>>,
    stopping: Stopping,
    troubles: Troubles,
}

/// Why a body is not there as a whole.
enum NotRead {
    TooLarge,
    TooSlow,
    Broken(hyper::Error),
}

impl Exchange {
    pub(super) fn new(
        inside: Arc<dyn Inside>,
        settings: Settings,
        metrics: Arc<Metrics>,
        ended: watch::Sender<Option<Failure>>,
        stopping: Stopping,
        troubles: Troubles,
    ) -> Exchange {
        let places = Arc::new(Semaphore::new(settings.requests_max));
        Exchange { inside, settings, metrics, places, ended, stopping, troubles }
    }

    async fn exchange(&self, request: Request<Incoming>, scheme: Scheme) -> Answer {
        let (head, body) = request.into_parts();
        let url = match request::url(&head, scheme) {
            Ok(url) => url,
            Err(unfit) => {
                let status = match unfit {
                    Unfit::Connect => StatusCode::NOT_IMPLEMENTED,
                    _ => StatusCode::BAD_REQUEST,
                };
                self.troubles.tell(Trouble::Malformed, &unfit);
                return unread(&body, plain(status, &unfit.to_string()));
            }
        };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            debug!(target: "everturn::http", url, "refused: {} requests are under way", self.settings.requests_max);
            return unread(&body, busy("too many requests are under way"));
        };
        if socket::is_wanted(&head) {
            return self.open(&head, &url, place).await;
        }
        match self.read(body).await {
            Ok(body) => self.ask(&head, &url, &body, place).await,
            Err(not_read) => self.refuse(&url, not_read),
        }
    }

    /// The whole body.
    async fn read(&self, mut body: Incoming) -> Result<Vec<u8>, NotRead> {
        let bytes_max = self.settings.body_bytes_max;
        if body.is_end_stream() {
            return Ok(Vec::new());
        }
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(NotRead::TooLarge);
        }
        let reading = async {
            let mut whole = Vec::new();
            while let Some(frame) = body.frame().await {
                // What is no data is a trailer, which says nothing that a program could rely on.
                let Ok(data) = frame.map_err(NotRead::Broken)?.into_data() else { continue };
                if whole.len() + data.len() > bytes_max {
                    return Err(NotRead::TooLarge);
                }
                whole.extend_from_slice(&data);
            }
            Ok(whole)
        };
        timeout(self.settings.body_timeout, reading).await.unwrap_or(Err(NotRead::TooSlow))
    }

    fn refuse(&self, url: &str, not_read: NotRead) -> Answer {
        let (trouble, status, why) = match not_read {
            NotRead::TooLarge => {
                let most = format!("a body may have {} bytes", self.settings.body_bytes_max);
                (Trouble::BodyTooLarge, StatusCode::PAYLOAD_TOO_LARGE, most)
            }
            NotRead::TooSlow => {
                (Trouble::Slow, StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned())
            }
            NotRead::Broken(error) => {
                debug!(target: "everturn::http", url, %error, "the body broke off");
                (Trouble::BrokenOff, StatusCode::BAD_REQUEST, "the body broke off".to_owned())
            }
        };
        self.troubles.tell(trouble, &format_args!("{why}, for {url}"));
        last(plain(status, &why))
    }

    /// Asks the inside for a socket. One that it opens for a client that has gone is closed again.
    async fn open(&self, head: &Parts, url: &str, place: OwnedSemaphorePermit) -> Answer {
        let opening = socket::opening(head);
        if opening.status() != StatusCode::SWITCHING_PROTOCOLS {
            return opening;
        }
        let Ok(data) = request::encode(head, url, &[]) else { return plain(StatusCode::BAD_REQUEST, "") };
        let (inside, (tell, told)) = (self.inside.clone(), oneshot::channel());
        tokio::spawn(async move {
            let welcome = inside.open(data).await;
            drop(place);
            if let Err(Ok(Welcome::Opened(socket, _))) = tell.send(welcome) {
                socket.closed().await;
            }
        });
        match timeout(self.settings.answer_timeout, told).await {
            Ok(Ok(Ok(Welcome::Opened(socket, waiting)))) => {
                socket::accept(opening, Accepted { socket, waiting })
            }
            Ok(Ok(Ok(Welcome::Answered(answer)))) => self.decoded((answer, Given::First), &head.method, url),
            Ok(Ok(Ok(Welcome::None))) => plain(StatusCode::NOT_FOUND, "there are no sockets here"),
            Ok(Ok(Err(failure))) => self.failed(failure, &head.method, url),
            Ok(Err(_)) => plain(StatusCode::INTERNAL_SERVER_ERROR, ""),
            Err(_) => {
                error!(target: "everturn::http", url, "no word about a socket in {:?}", self.settings.answer_timeout);
                plain(StatusCode::GATEWAY_TIMEOUT, "")
            }
        }
    }

    async fn ask(&self, head: &Parts, url: &str, body: &[u8], place: OwnedSemaphorePermit) -> Answer {
        let data = match request::encode(head, url, body) {
            Ok(data) => data,
            Err(error) => {
                self.troubles.tell(Trouble::Malformed, &format_args!("{error}, for {url}"));
                return plain(StatusCode::BAD_REQUEST, "");
            }
        };
        let once = match idempotency::once(head, url, body, self.settings.idempotency_time) {
            Ok(once) => once,
            Err(bad) => {
                self.troubles.tell(Trouble::Malformed, &format_args!("{bad}, for {url}"));
                return plain(StatusCode::BAD_REQUEST, &bad.to_string());
            }
        };
        let (inside, most) = (self.inside.clone(), self.settings.answer_timeout);
        let only_looks = matches!(head.method, Method::GET | Method::HEAD);
        // A task of its own: it goes on, and keeps its place, when the client goes away.
        let asked = tokio::spawn(async move {
            let answer = async {
                let first = |answer| (answer, Given::First);
                match once {
                    Some(once) => inside.request_once(data, once).await,
                    None if only_looks => inside.query(data).await.map(first),
                    None => inside.request(data).await.map(first),
                }
            };
            let answered = timeout(most, answer).await;
            drop(place);
            answered
        });
        match asked.await {
            Ok(Ok(Ok(answered))) => self.decoded(answered, &head.method, url),
            Ok(Ok(Err(failure))) => self.failed(failure, &head.method, url),
            Ok(Err(_)) => {
                error!(target: "everturn::http", method = %head.method, url, "no answer in {most:?}");
                plain(StatusCode::GATEWAY_TIMEOUT, "")
            }
            Err(error) => {
                error!(target: "everturn::http", method = %head.method, url, %error, "asking failed");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
        }
    }

    fn decoded(&self, (data, given): (Ipld, Given), method: &Method, url: &str) -> Answer {
        let Decoded { mut answer, stream } = match answer::decode(data, method) {
            Ok(decoded) => decoded,
            Err(malformed) => {
                error!(target: "everturn::http", %method, url, "the program's answer cannot be sent: {malformed}");
                return plain(StatusCode::INTERNAL_SERVER_ERROR, "");
            }
        };
        if given == Given::Again {
            if stream.is_some() {
                return plain(
                    StatusCode::CONFLICT,
                    "this was done; its reply was a stream, which is not kept",
                );
            }
            idempotency::mark(&mut answer);
        }
        let stream_of = |number| Stream { url: url.to_owned(), number };
        match stream {
            None => answer,
            Some(Streamed::Wanted(number)) => {
                let body = Body::pieces(self.inside.clone(), stream_of(number), self.stopping.clone());
                answer.map(|_| body)
            }
            Some(Streamed::Unwanted(number)) => {
                let (inside, stream) = (self.inside.clone(), stream_of(number));
                drop(tokio::spawn(async move { inside.cancel(&stream, "this answer has no body").await }));
                answer
            }
        }
    }

    fn failed(&self, failure: inside::Failure, method: &Method, url: &str) -> Answer {
        match failure {
            Failure::Exception(exception) => {
                let (text, stack) = (&exception.text, &exception.stack);
                error!(target: "everturn::http", %method, url, kind = ?exception.kind, "{text}\n{stack}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
            Failure::Unanswered(why) => {
                error!(target: "everturn::http", %method, url, "no answer: {why}");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "")
            }
            Failure::Busy => busy("too much is waiting"),
            failure @ Failure::OtherRequest => {
                debug!(target: "everturn::http", url, %failure, "refused");
                plain(StatusCode::UNPROCESSABLE_ENTITY, &failure.to_string())
            }
            failure @ Failure::Full(_) => {
                warn!(target: "everturn::http", url, %failure, "refused");
                busy("no further reply can be kept for an Idempotency-Key")
            }
            Failure::TooLarge(why) => {
                self.troubles.tell(Trouble::BodyTooLarge, &format_args!("{why}, for {url}"));
                plain(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "a request is one message inside, and this one is too large for that",
                )
            }
            failure @ Failure::Stopped(_) => {
                error!(target: "everturn::http", %failure, "there is nobody who answers any more");
                self.ended.send_replace(Some(failure));
                busy("the server is stopping")
            }
        }
    }
}

impl Handler for Exchange {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, scheme: Scheme) -> Answer {
        let begun = Instant::now();
        let lasting = self.metrics.requested(request.method());
        let answer = self.exchange(request, scheme).await;
        drop(lasting);
        self.metrics.answered(answer.status(), begun.elapsed());
        answer
    }
}

/// The answer to a request whose body, if it has one, will not be read.
fn unread(body: &Incoming, answer: Answer) -> Answer {
    if body.is_end_stream() { answer } else { last(answer) }
}
