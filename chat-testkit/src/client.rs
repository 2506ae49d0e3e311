//! A WebSocket client that speaks protocol v1, for tests: it finds the reply to each
//! request, keeps the pushes in their order, and never waits for ever.
//!
//! It panics, saying what it waited for, where a test would fail anyway.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long a client waits for what a test expects.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The close code of a socket that ended without a close frame.
pub const ABNORMAL: u16 = 1006;

/// One connection to a chat server.
///
/// ```no_run
/// # async fn test() {
/// use chat_testkit::client::TestClient;
/// use serde_json::json;
///
/// let mut ann = TestClient::connect("ws://127.0.0.1:2346/ws").await;
/// ann.request(json!({"action": "login", "username": "ann", "password": "correct horse"})).await;
/// let reply = ann.ok(json!({"action": "create_room", "room_name": "Garden"})).await;
/// ann.ok(json!({"action": "send_room_message", "room_id": reply["room_id"], "content": "hello"})).await;
/// assert_eq!(ann.expect_push("new_room_message").await["content"], "hello");
/// # }
/// ```
#[derive(Debug)]
pub struct TestClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    greeting: Value,
    pushes: VecDeque<Value>,
    replies: VecDeque<Value>,
    requests: u64,
    closed: Option<(u16, String)>,
}

impl TestClient {
    /// Connects to `url` and takes the greeting.
    ///
    /// # Panics
    /// If the handshake is refused or no greeting comes.
    pub async fn connect(url: &str) -> Self {
        match Self::connect_with(url, &[]).await {
            Ok(client) => client,
            Err(status) => panic!("the handshake with {url} was refused with {status}"),
        }
    }

    /// Connects with additional request headers, such as `Origin`, and takes the greeting.
    ///
    /// # Errors
    /// The HTTP status with which the handshake was refused.
    ///
    /// # Panics
    /// If there is no server, or no greeting comes.
    pub async fn connect_with(url: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut request = url.into_client_request().expect("a WebSocket address");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("the name of a header");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("the value of a header"));
        }
        let socket = match within("a connection", connect_async(request)).await {
            Ok((socket, _)) => socket,
            Err(Error::Http(response)) => return Err(response.status().as_u16()),
            Err(error) => panic!("no connection to {url}: {error}"),
        };
        let mut client = Self {
            socket,
            greeting: Value::Null,
            pushes: VecDeque::new(),
            replies: VecDeque::new(),
            requests: 0,
            closed: None,
        };
        client.greeting = client.expect_push("connected").await;
        Ok(client)
    }

    /// The greeting.
    #[must_use]
    pub fn greeting(&self) -> &Value {
        &self.greeting
    }

    /// Sends a request and waits for its reply. Adds a `request_id` if there is none.
    ///
    /// # Panics
    /// If no reply comes.
    pub async fn request(&mut self, request: Value) -> Value {
        let request_id = self.submit(request).await;
        self.reply(&request_id).await
    }

    /// [`request`](Self::request) that must succeed.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn ok(&mut self, request: Value) -> Value {
        let shown = request.to_string();
        let reply = self.request(request).await;
        assert_eq!(reply["success"], true, "{shown} was refused: {reply}");
        reply
    }

    /// [`request`](Self::request) that must be refused; answers the `code`.
    ///
    /// # Panics
    /// If it succeeds.
    pub async fn refused(&mut self, request: Value) -> String {
        let shown = request.to_string();
        let reply = self.request(request).await;
        assert_eq!(reply["success"], false, "{shown} was not refused: {reply}");
        reply["code"].as_str().unwrap_or_else(|| panic!("a refusal has no code: {reply}")).to_owned()
    }

    /// Sends a request and does not wait; answers its `request_id`, for [`reply`](Self::reply).
    pub async fn submit(&mut self, mut request: Value) -> Value {
        if request.get("request_id").is_none() {
            self.requests += 1;
            request["request_id"] = json!(format!("r{}", self.requests));
        }
        let request_id = request["request_id"].clone();
        self.send_text(request.to_string()).await;
        request_id
    }

    /// Waits for the reply to a request that was submitted.
    ///
    /// # Panics
    /// If none comes.
    pub async fn reply(&mut self, request_id: &Value) -> Value {
        self.take(format!("the reply to {request_id}"), |client| {
            let at = client.replies.iter().position(|reply| reply["request_id"] == *request_id)?;
            client.replies.remove(at)
        })
        .await
    }

    /// Waits for the next reply, whosever it is: also one without a `request_id`.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next_reply(&mut self) -> Value {
        self.take("a reply", |client| client.replies.pop_front()).await
    }

    /// Waits for a push with this action. Pushes with other actions stay, in their order.
    ///
    /// # Panics
    /// If none comes.
    pub async fn expect_push(&mut self, action: &str) -> Value {
        self.take(format!("the push {action}"), |client| {
            let at = client.pushes.iter().position(|push| push["action"] == action)?;
            client.pushes.remove(at)
        })
        .await
    }

    /// Waits for the next push, whatever its action.
    ///
    /// # Panics
    /// If none comes.
    pub async fn next_push(&mut self) -> Value {
        self.take("a push", |client| client.pushes.pop_front()).await
    }

    /// Waits for the next frame of either kind, in the order of the socket; the close code and its text when
    /// there is none any more. For clients that live through the end of their server.
    ///
    /// # Errors
    /// The connection has ended and every frame before that was given out.
    ///
    /// # Panics
    /// If neither comes.
    pub async fn next_frame(&mut self) -> Result<Value, (u16, String)> {
        loop {
            if let Some(frame) = self.replies.pop_front().or_else(|| self.pushes.pop_front()) {
                return Ok(frame);
            }
            if let Some(closed) = &self.closed {
                return Err(closed.clone());
            }
            within("a frame", self.read()).await;
        }
    }

    /// Takes the pushes that have come so far and were not expected.
    pub fn take_pushes(&mut self) -> Vec<Value> {
        self.pushes.drain(..).collect()
    }

    /// Takes the replies that have come so far and were not waited for.
    pub fn take_replies(&mut self) -> Vec<Value> {
        self.replies.drain(..).collect()
    }

    /// Sends any text as one frame.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    /// Sends any frame. That the server closed meanwhile is no failure; [`closed`](Self::closed) tells.
    pub async fn send(&mut self, message: Message) {
        // What follows a close is lost, and the close is what the test will see.
        let _ = within("room to send", self.socket.send(message)).await;
    }

    /// Waits until the server closes; the close code, [`ABNORMAL`] if it did not say one.
    ///
    /// # Panics
    /// If it does not.
    pub async fn close_code(&mut self) -> u16 {
        self.closed().await.0
    }

    /// Waits until the server closes; the code and the text beside it.
    ///
    /// # Panics
    /// If it does not.
    pub async fn closed(&mut self) -> (u16, String) {
        while self.closed.is_none() {
            within("the close", self.read()).await;
        }
        self.closed.clone().unwrap_or_default()
    }

    /// Closes and waits for the server to agree. Dropping the client instead ends the socket without a word.
    ///
    /// # Panics
    /// If the server does not agree.
    pub async fn close(mut self) {
        self.send(Message::Close(None)).await;
        self.closed().await;
    }

    /// Reads until `find` has found something.
    async fn take(&mut self, what: impl Display, find: impl Fn(&mut Self) -> Option<Value>) -> Value {
        let searched = async {
            loop {
                if let Some(found) = find(self) {
                    return Ok(found);
                }
                if let Some((code, text)) = &self.closed {
                    return Err(format!("waiting for {what}: closed with {code} {text}"));
                }
                self.read().await;
            }
        };
        match timeout(PATIENCE, searched).await {
            Ok(Ok(found)) => found,
            Ok(Err(closed)) => panic!("{closed}"),
            Err(_) => {
                panic!(
                    "waited in vain for {what}; there are replies {:?} and pushes {:?}",
                    self.replies, self.pushes
                )
            }
        }
    }

    /// Takes one frame from the socket.
    async fn read(&mut self) {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text)
                    .unwrap_or_else(|error| panic!("a frame is no JSON ({error}): {text}"));
                if frame.get("success").is_some() {
                    self.replies.push_back(frame);
                } else {
                    self.pushes.push_back(frame);
                }
            }
            Some(Ok(Message::Close(frame))) => self.closed = Some(told(frame)),
            Some(Ok(Message::Binary(_))) => panic!("the server sent a binary frame"),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(_)) | None => {
                self.closed.get_or_insert((ABNORMAL, String::new()));
            }
        }
    }
}

fn told(frame: Option<CloseFrame>) -> (u16, String) {
    frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()))
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}
