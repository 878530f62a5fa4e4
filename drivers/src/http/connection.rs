//! One connection, from its first byte to its last.
//!
//! Invariants:
//! 1. A connection with no request under way ends after `head_timeout`, whatever it sends: the deadlines of HTTP/1 are hyper's,
//!    those of HTTP/2 and of the bytes before either are kept here.
//! 2. An answer that ends a connection reaches a client that is still sending: it is not reset while it reads.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONNECTION;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use super::exchange::Handler;
use super::metrics::Metrics;
use super::opening::{self, Opened, Protocol};
use super::own::HEAD_TIMED_OUT;
use super::paced::Paced;
use super::request::Scheme;
use super::settings::Settings;
use super::trouble::{Broken, Trouble, Troubles};
use super::{socket, tls};

/// The least that hyper keeps of a connection, in bytes.
const HTTP1_BUFFER_BYTES_MIN: usize = 8_192;
/// What hyper has room for without being told, in header lines.
const HTTP1_HEADERS: usize = 100;
/// How long a connection that ends may still send what nobody reads, and how much of it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 4 << 20;

/// What all connections of a listener have in common.
pub(super) struct Terms<H> {
    pub(super) handler: Arc<H>,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) troubles: Troubles,
}

/// Whether the server was asked to stop.
pub(super) type Stopping = watch::Receiver<bool>;

/// Serves a connection until either side ends it.
pub(super) async fn serve<H: Handler>(stream: TcpStream, terms: Arc<Terms<H>>, stopping: Stopping) {
    // Answers are written whole, so nothing is won by waiting for more. Failing costs time only.
    let _ = stream.set_nodelay(true);
    let _connected = terms.metrics.connected();
    let from = stream.peer_addr().ok();
    let paced = Paced::new(stream, terms.settings.write_timeout);
    let ended = match &terms.tls {
        Some(tls) => encrypted(paced, tls, &terms, stopping).await,
        None => clear(paced, &terms, stopping).await,
    };
    if let Err(broken) = ended {
        terms.troubles.tell_end(&broken, from);
    }
}

type Ended = Result<(), Broken>;

async fn encrypted<H: Handler>(
    stream: Paced<TcpStream>,
    tls: &TlsAcceptor,
    terms: &Terms<H>,
    mut stopping: Stopping,
) -> Ended {
    let accepted = tokio::select! {
        accepted = timeout(terms.settings.head_timeout, tls.accept(stream)) => match accepted {
            Ok(accepted) => accepted.map_err(of_handshake)?,
            Err(late) => return Err(Broken::of(Trouble::Slow, format!("its TLS handshake: {late}"))),
        },
        _ = stopping.wait_for(|stops| *stops) => return Ok(()),
    };
    let is_http2 = accepted.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
    let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    speak(Opened::untouched(accepted), protocol, Scheme::Https, terms, stopping).await
}

async fn clear<H: Handler>(mut stream: Paced<TcpStream>, terms: &Terms<H>, mut stopping: Stopping) -> Ended {
    let mut read = Vec::new();
    let heard = tokio::select! {
        heard = timeout(terms.settings.head_timeout, opening::listen(&mut stream, &mut read)) => heard,
        _ = stopping.wait_for(|stops| *stops) => return Ok(()),
    };
    match heard {
        Ok(protocol) => speak(opening::rewound(stream, read), protocol?, Scheme::Http, terms, stopping).await,
        Err(late) => {
            let trouble = (!read.is_empty()).then_some(Trouble::Slow);
            if trouble.is_some() {
                stream.write_all(HEAD_TIMED_OUT).await?;
                linger(stream).await?;
            }
            Err(Broken::of(trouble, format!("its head: {late}")))
        }
    }
}

async fn speak<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: Opened<S>,
    protocol: Protocol,
    scheme: Scheme,
    terms: &Terms<H>,
    stopping: Stopping,
) -> Ended {
    match protocol {
        Protocol::Http1 => http1(stream, scheme, terms, stopping).await,
        Protocol::Http2 => http2(stream, scheme, terms, stopping).await,
    }
}

async fn http1<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: Opened<S>,
    scheme: Scheme,
    terms: &Terms<H>,
    mut stopping: Stopping,
) -> Ended {
    let (is_last, opened) = (AtomicBool::new(false), Mutex::new(None));
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, is_last, opened) = (terms.handler.clone(), &is_last, &opened);
        Box::pin(async move {
            let mut answer = handler.answer(request, scheme).await;
            if let Some(accepted) = socket::accepted(&mut answer) {
                *opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
            }
            is_last.fetch_or(answer.headers().contains_key(CONNECTION), Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        })
    });
    let mut connection = http1_terms(&terms.settings).serve_connection(TokioIo::new(stream), service);
    let mut is_asked_to_stop = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = stopping.wait_for(|stops| *stops), if !is_asked_to_stop => {
                is_asked_to_stop = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    let accepted = opened.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(accepted) = accepted {
        return match ended {
            Ok(()) => {
                accepted.run(stream, parts.read_buf.to_vec(), terms, stopping).await;
                Ok(())
            }
            Err(error) => {
                accepted.socket.closed().await;
                Err(Broken::of_http1(error, false))
            }
        };
    }
    match ended {
        Ok(()) if is_last.load(Ordering::Relaxed) => linger(stream).await?,
        Ok(()) => stream.shutdown().await?,
        Err(error) => {
            let in_head = !parts.read_buf.is_empty();
            let is_timeout = error.is_timeout();
            let broken = Broken::of_http1(error, in_head);
            // Whether it still hears of it changes nothing of why it ended.
            let told = async {
                if is_timeout && in_head {
                    stream.write_all(HEAD_TIMED_OUT).await?;
                }
                linger(stream).await
            };
            let _ = told.await;
            return Err(broken);
        }
    }
    Ok(())
}

/// A client that goes away within a handshake has done nothing wrong.
fn of_handshake(error: io::Error) -> Broken {
    match error.kind() {
        io::ErrorKind::InvalidData => Broken::of(Trouble::Handshake, error),
        _ => error.into(),
    }
}

fn http1_terms(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who closes has gone: a stream to nobody, to which nothing is written, would never end.
        .half_close(false)
        .header_read_timeout(settings.head_timeout)
        .max_header_size(settings.head_bytes_max)
        .max_buf_size(settings.head_bytes_max.max(HTTP1_BUFFER_BYTES_MIN));
    if settings.headers_max != HTTP1_HEADERS {
        builder.max_headers(settings.headers_max);
    }
    builder
}

/// Ends a connection that the client may still be sending on: closing it at once would take back what it has not read yet.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER_BYTES_MAX);
    let reading = async {
        let mut unread = [0; 8_192];
        while rest.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
    };
    // A client that goes on for longer has to live with the reset.
    let _ = timeout(LINGER, reading).await;
    Ok(())
}

/// What is under way on an HTTP/2 connection, and since when nothing is.
struct Activity(Mutex<(usize, Instant)>);

impl Activity {
    fn change(&self, change: impl FnOnce(&mut usize)) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut now.0);
        now.1 = Instant::now();
    }

    /// Since when nothing is under way, if nothing is.
    fn idle_since(&self) -> Option<Instant> {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (now.0 == 0).then_some(now.1)
    }
}

/// One request under way, until it is dropped.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: &Arc<Activity>) -> UnderWay {
        activity.change(|under_way| *under_way += 1);
        UnderWay(activity.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|under_way| *under_way -= 1);
    }
}

async fn http2<H: Handler, S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: Opened<S>,
    scheme: Scheme,
    terms: &Terms<H>,
    mut stopping: Stopping,
) -> Ended {
    let activity = Arc::new(Activity(Mutex::new((0, Instant::now()))));
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, under_way) = (terms.handler.clone(), UnderWay::new(&activity));
        async move {
            let mut answer: Response<_> = handler.answer(request, scheme).await;
            answer.headers_mut().remove(CONNECTION);
            Ok::<_, Infallible>(answer.map(|body| body.holding(under_way)))
        }
    });
    let connection = http2_terms(&terms.settings).serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut deadline = Instant::now() + terms.settings.head_timeout;
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = &mut connection => return ended.map_err(Broken::of_http2),
            _ = stopping.wait_for(|stops| *stops), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(deadline) => {
                let idle_since = activity.idle_since().unwrap_or_else(Instant::now);
                let due = idle_since + terms.settings.head_timeout;
                if due > Instant::now() {
                    deadline = due;
                } else if is_ending {
                    return Err(Broken::of(None, "the client did not end its connection"));
                } else {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                    deadline = Instant::now() + LINGER;
                }
            }
        }
    }
}

fn http2_terms(settings: &Settings) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let head_bytes_max = u32::try_from(settings.head_bytes_max).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams_max)
        .max_header_list_size(head_bytes_max);
    builder
}
