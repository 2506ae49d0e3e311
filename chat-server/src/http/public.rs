//! What people get on the public listener: the socket, a page that says the server
//! runs, and nothing else. Health and metrics are not here.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use chat_core::Chat;
use chat_transport_ws::{Rejection, Transport};
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hosts::{self, Hosts};
use super::listener::Arrival;
use super::proxy;
use crate::health::Health;

const PAGE: &str = include_str!("../../web/index.html");
const STYLE: &str = include_str!("../../web/style.css");

/// Headers of every answer, unless the answer has its own.
const DEFENCES: [(HeaderName, &str); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// What the public listener needs beside HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// Makes WebSockets of sockets.
    pub(crate) transport: Transport,
    /// Whom they talk to.
    pub(crate) chat: Chat,
    /// Waits for every one of them.
    pub(crate) tasks: TaskTracker,
    /// Closes every one of them.
    pub(crate) stopping: CancellationToken,
    /// Told of proxies that do not do their part.
    pub(crate) health: Health,
}

/// The public listener's answers.
pub(crate) fn app(site: Site, hosts: Hosts) -> Router {
    Router::new()
        .route("/", any(home))
        .route("/ws", any(socket))
        .with_state(site)
        .route("/style.css", get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found\n"))
        .layer(middleware::from_fn_with_state(hosts, hosts::check))
        .layer(middleware::from_fn(defend))
}

/// Makes a WebSocket of the request's socket.
async fn socket(State(site): State<Site>, mut request: Request) -> Response {
    let Some(arrival) = request.extensions().get::<Arrival>().cloned() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let peer = arrival.peer.ip();
    if proxy::is_nameless(&site.transport.config().trusted_proxies, peer, request.headers()) {
        site.health.saw_nameless_proxy(peer);
    }
    let answer = match site.transport.upgrade(&arrival.seat, Some(peer), &request) {
        Ok(answer) => answer,
        Err(rejection) => {
            if rejection == Rejection::Origin {
                tracing::warn!(event = "origin_refused", %peer, "a page of another origin may not connect");
            }
            return rejection.response().map(|()| Body::empty());
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let Site { transport, chat, tasks, stopping, .. } = site;
    tasks.spawn(async move {
        match upgraded.await {
            Ok(stream) => drop(transport.run(TokioIo::new(stream), chat, arrival.seat, stopping).await),
            Err(error) => tracing::debug!(peer = %arrival.peer, %error, "upgrade failed"),
        }
    });
    answer.map(|()| Body::empty())
}

/// The socket for clients that ask for one here; for all others the page.
async fn home(State(site): State<Site>, request: Request) -> Response {
    if chat_transport_ws::wants_upgrade(request.headers()) {
        return socket(State(site), request).await;
    }
    match *request.method() {
        Method::GET | Method::HEAD => page(&site, &request),
        _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response(),
    }
}

/// The page for people who open the server's address in a browser.
fn page(site: &Site, request: &Request) -> Response {
    let proxies = &site.transport.config().trusted_proxies;
    let by_proxy = request.headers().get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = request
        .extensions()
        .get::<Arrival>()
        .is_some_and(|arrival| arrival.secure || by_proxy && proxies.trusts(arrival.peer.ip()));
    let host = host(request.headers()).unwrap_or("localhost");
    let scheme = if secure { "wss" } else { "ws" };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    let page = PAGE.replace("{{address}}", &format!("{scheme}://{host}/ws"));
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

/// The name by which the client called the server, if it is harmless in a header and on a page.
fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte);
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(harmless)).then_some(host)
}

/// Adds the headers that tell browsers what not to do.
async fn defend(request: Request, next: Next) -> Response {
    let secure = request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.secure);
    let mut response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    let headers = response.headers_mut();
    for (name, value) in DEFENCES {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}
