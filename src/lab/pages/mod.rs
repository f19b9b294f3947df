//! The handset pages: one page with a handset for each subscriber of the lab, and beside them the way of a request.
//!
//! A listener on loopback serves three static files, each operator's subscriber API below its name, and the Trails of all
//! operators as server-sent events. The subscribers' own events come from a port of each operator, because a browser opens few
//! connections to one. It is for people at this machine: the cast's passwords are no secret, so whoever asks
//! under another host name than this machine's is refused.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{
        Html, IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::{net::TcpListener, sync::broadcast, task::JoinSet};

use super::Operator;
use crate::model::TrailRecord;

/// Somebody who has a handset on the page.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    /// Whose subscriber he is, and the folder that this operator's API is below.
    pub operator: &'static str,
    /// The number, as `+447700900123`.
    pub number: &'static str,
    /// `user@domain`.
    pub user: String,
    /// The name that others see.
    pub name: &'static str,
    /// What he logs in with.
    pub password: String,
}

/// The running pages; dropping them ends them.
#[derive(Debug)]
pub struct Pages {
    /// Where they are.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Pages {
    /// Serves the handsets of these operators, and tells their Trails from now on.
    ///
    /// # Errors
    /// When no loopback port can be had.
    pub async fn start(operators: &mut [&mut Operator]) -> std::io::Result<Self> {
        let listener = super::federation::bind().await?;
        let address = listener.local_addr()?;
        let mut streams = Vec::with_capacity(operators.len());
        for operator in operators.iter() {
            let listener = super::federation::bind().await?;
            let at = listener.local_addr()?;
            streams.push((operator.name, listener, at));
        }
        let board = Arc::new(Board {
            people: operators.iter().flat_map(|one| one.people()).collect(),
            told: Mutex::default(),
            news: broadcast::Sender::new(KEPT),
            origins: [
                format!("http://{address}"),
                format!("http://localhost:{}", address.port()),
            ],
            streams: streams
                .iter()
                .map(|(name, _, at)| (*name, format!("http://{at}")))
                .collect(),
        });
        let mut tasks = JoinSet::new();
        let mut router = Router::new()
            .route("/", get(page))
            .route("/handsets.css", get(style))
            .route("/handsets.js", get(script))
            .route("/icon.svg", get(icon))
            .route("/cast.json", get(cast))
            .route("/trails", get(trails))
            .with_state(Arc::clone(&board));
        for (operator, (_, listener, _)) in operators.iter_mut().zip(streams) {
            if let Some(home) = operator.app.home.as_ref().and_then(|seat| seat.here()) {
                router = router.nest(&format!("/{}", operator.name), home.api());
                let guarded = middleware::from_fn_with_state(Arc::clone(&board), guard_stream);
                tasks.spawn(serve(listener, home.api().layer(guarded)));
            }
            let (board, name) = (Arc::clone(&board), operator.name);
            let mut trails = operator.take_trails();
            tasks.spawn(async move {
                while let Some(trail) = trails.recv().await {
                    board.tell(name, &trail);
                }
            });
        }
        let router = router.layer(middleware::from_fn_with_state(board, guard));
        tasks.spawn(serve(listener, router));
        Ok(Self {
            address,
            _tasks: tasks,
        })
    }
}

/// What the page asks for.
struct Board {
    people: Vec<Person>,
    /// The newest Trails, for a page that is opened later.
    told: Mutex<VecDeque<Arc<str>>>,
    news: broadcast::Sender<Arc<str>>,
    /// Where the page is, by the names that this machine's browsers use.
    origins: [String; 2],
    /// Where each operator's events come from.
    streams: BTreeMap<&'static str, String>,
}

impl Board {
    fn tell(&self, operator: &'static str, trail: &TrailRecord) {
        let Ok(text) = serde_json::to_string(&TrailView::of(operator, trail)) else {
            return;
        };
        let text: Arc<str> = text.into();
        let mut told = self.told();
        if told.len() == KEPT {
            told.pop_front();
        }
        told.push_back(Arc::clone(&text));
        // Nobody listens while no page is open.
        let _ = self.news.send(text);
    }

    fn told(&self) -> MutexGuard<'_, VecDeque<Arc<str>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Trail as the page reads it: times in milliseconds.
#[derive(Serialize)]
struct TrailView<'a> {
    id: String,
    operator: &'a str,
    started_ms: u64,
    took_ms: f64,
    steps: Vec<StepView<'a>>,
}

#[derive(Serialize)]
struct StepView<'a> {
    after_ms: f64,
    #[serde(flatten)]
    event: &'a crate::model::StepEvent,
}

impl<'a> TrailView<'a> {
    fn of(operator: &'a str, trail: &'a TrailRecord) -> Self {
        let steps: Vec<_> = trail
            .steps
            .iter()
            .map(|step| StepView {
                after_ms: step.after.as_secs_f64() * 1000.0,
                event: &step.event,
            })
            .collect();
        Self {
            id: trail.id.to_string(),
            operator,
            started_ms: trail.started.0,
            took_ms: steps.last().map_or(0.0, |step| step.after_ms),
            steps,
        }
    }
}

/// Names of other hosts that lead here are some web page's doing (DNS rebinding).
async fn guard(State(board): State<Arc<Board>>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let is_of = |origin: &String| origin.strip_prefix("http://") == host;
    if !board.origins.iter().any(is_of) {
        return (StatusCode::FORBIDDEN, "ask for this page by its address").into_response();
    }
    let mut response = next.run(request).await;
    let streams: Vec<_> = board.streams.values().map(String::as_str).collect();
    let policy = format!(
        "default-src 'self'; connect-src 'self' {}; frame-ancestors 'none'",
        streams.join(" ")
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Streams are for the page alone, which comes from another port (Fetch standard, CORS protocol).
async fn guard_stream(State(board): State<Arc<Board>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| board.origins.iter().any(|page| origin == page.as_str()));
    let Some(origin) = origin else {
        return (StatusCode::FORBIDDEN, "the handsets' page alone asks here").into_response();
    };
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization"),
    );
    response
}

async fn page() -> Html<&'static str> {
    Html(include_str!("index.html"))
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("handsets.css"))
}

async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("handsets.js"))
}

async fn icon() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "image/svg+xml")];
    (kind, include_str!("../../admin/console/icon.svg"))
}

#[derive(Serialize)]
struct Cast {
    people: Vec<Person>,
    streams: BTreeMap<&'static str, String>,
}

async fn cast(State(board): State<Arc<Board>>) -> Json<Cast> {
    Json(Cast {
        people: board.people.clone(),
        streams: board.streams.clone(),
    })
}

/// The Trails so far, then each as it ends; a page that does not keep up is cut off and asks again.
async fn trails(State(board): State<Arc<Board>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (told, news) = {
        let told = board.told();
        (told.clone(), board.news.subscribe())
    };
    let events = stream::unfold((told, news), |(mut told, mut news)| async move {
        let text = match told.pop_front() {
            Some(text) => text,
            None => news.recv().await.ok()?,
        };
        Some((Ok(Event::default().event("trail").data(&*text)), (told, news)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn serve(listener: TcpListener, router: Router) {
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the handset pages stopped");
    }
}

/// Trails that a page gets when it is opened.
const KEPT: usize = 200;
