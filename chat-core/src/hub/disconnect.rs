//! Why a connection ends, and what its client is told of it.

/// Why a connection ended. Whichever side ends it first sets the one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisconnectReason {
    /// The client closed, or its socket ended.
    ClientLeft,
    /// The server is stopping: 1001.
    Shutdown,
    /// A binary frame: 1003.
    Binary,
    /// A text frame that is not UTF-8: 1007.
    InvalidUtf8,
    /// A frame above the limit: 1009.
    TooBig,
    /// A broken WebSocket frame: 1002.
    ProtocolError,
    /// A bug on this side, confined to this connection: 1011.
    Panic,
    /// Ten unreadable frames within a minute: 4400.
    Unreadable,
    /// The access token's time is over: 4401, `expired`.
    TokenExpired,
    /// The session was signed out or revoked, or the account disabled: 4401, `ended`.
    SessionEnded,
    /// Not signed in within the time allowed: 4401, `missing`.
    NotAuthenticated,
    /// The client does not read fast enough: 4408, resume.
    TooSlow,
    /// The client does not answer pings.
    PingTimeout,
    /// Requests far above the rate: 4429.
    Flood,
    /// More connections than allowed: 4429.
    TooManyConnections,
    /// This node is cut off from the others: 4503.
    NodeCutOff,
}

impl DisconnectReason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::ClientLeft,
        Self::Shutdown,
        Self::Binary,
        Self::InvalidUtf8,
        Self::TooBig,
        Self::ProtocolError,
        Self::Panic,
        Self::Unreadable,
        Self::TokenExpired,
        Self::SessionEnded,
        Self::NotAuthenticated,
        Self::TooSlow,
        Self::PingTimeout,
        Self::Flood,
        Self::TooManyConnections,
        Self::NodeCutOff,
    ];

    /// The WebSocket close code; `None` where there is nobody to tell.
    #[must_use]
    pub fn close_code(self) -> Option<u16> {
        match self {
            Self::ClientLeft | Self::PingTimeout => None,
            Self::Shutdown => Some(1001),
            Self::ProtocolError => Some(1002),
            Self::Binary => Some(1003),
            Self::InvalidUtf8 => Some(1007),
            Self::TooBig => Some(1009),
            Self::Panic => Some(1011),
            Self::Unreadable => Some(4400),
            Self::TokenExpired | Self::SessionEnded | Self::NotAuthenticated => Some(4401),
            Self::TooSlow => Some(4408),
            Self::Flood | Self::TooManyConnections => Some(4429),
            Self::NodeCutOff => Some(4503),
        }
    }

    /// The text beside the close code, for programs: 4401 says which of its reasons it was.
    #[must_use]
    pub fn close_text(self) -> &'static str {
        match self {
            Self::ClientLeft => "client left",
            Self::Shutdown => "shutting down",
            Self::Binary => "binary frames are not supported",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::TooBig => "frame too big",
            Self::ProtocolError => "protocol error",
            Self::Panic => "internal error",
            Self::Unreadable => "too many unreadable frames",
            Self::TokenExpired => "expired",
            Self::SessionEnded => "ended",
            Self::NotAuthenticated => "missing",
            Self::TooSlow => "too slow, resume",
            Self::PingTimeout => "ping timeout",
            Self::Flood => "too many requests",
            Self::TooManyConnections => "too many connections",
            Self::NodeCutOff => "node cut off",
        }
    }

    /// The reason as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::Shutdown => "shutdown",
            Self::Binary => "binary",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooBig => "too_big",
            Self::ProtocolError => "protocol_error",
            Self::Panic => "panic",
            Self::Unreadable => "unreadable",
            Self::TokenExpired => "token_expired",
            Self::SessionEnded => "session_ended",
            Self::NotAuthenticated => "not_authenticated",
            Self::TooSlow => "too_slow",
            Self::PingTimeout => "ping_timeout",
            Self::Flood => "flood",
            Self::TooManyConnections => "too_many_connections",
            Self::NodeCutOff => "node_cut_off",
        }
    }
}
