//! What operators and their machines ask: alive, ready, metrics. Changes nothing,
//! asks for no password, and is served only on the admin listener.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use super::hosts::{self, Hosts};
use crate::health::Health;
use crate::telemetry;

/// The admin listener's answers.
pub(crate) fn app(health: Health, metrics: PrometheusHandle, hosts: Hosts) -> Router {
    Router::new()
        .route("/healthz", get(async || text("ok\n".to_owned(), "text/plain; charset=utf-8")))
        .route("/readyz", get(ready).with_state(health))
        .route("/metrics", get(render).with_state(metrics))
        .fallback(async || (StatusCode::NOT_FOUND, "Not found\n"))
        .layer(middleware::from_fn_with_state(hosts, hosts::check))
        .layer(middleware::map_response(harmless))
}

async fn ready(State(health): State<Health>) -> Response {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(&report) {
        Ok(json) => (status, text(json + "\n", "application/json")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn render(State(metrics): State<PrometheusHandle>) -> Response {
    text(telemetry::render(&metrics), "text/plain; version=0.0.4; charset=utf-8")
}

fn text(body: String, kind: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn harmless(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
