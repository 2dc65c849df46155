//! The connection to the signaling server while no call has it.

use std::time::Duration;

use tandem_call::{BlockOutcome, Profile, Report, ReportOutcome, SignalingLine};
use tandem_signaling::client::{ClientEvent, SendError};
use tandem_signaling::message::{
    Capability, ClientMessage, ErrorCode, ErrorReport, Knock, KnockId, ServerMessage, SessionId,
    UserId,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Handle;
use crate::desktop::app::{Input, LineEvent, LineId, LineUse, RoomClaim};

/// A connection that a task listens on.
pub(super) struct IdleLine {
    id: LineId,
    commands: UnboundedSender<LineCommand>,
    task: JoinHandle<SignalingLine>,
}

enum LineCommand {
    Use(LineUse),
    Decline(KnockId),
    Report(SessionId, Report),
    Block(UserId),
}

impl IdleLine {
    /// Listens on `line` and reports what happens there.
    pub(super) fn start(id: LineId, line: SignalingLine, handle: Handle) -> Self {
        let (commands, receiver) = unbounded_channel();
        // A call gives the connection back as the listener before it left it.
        let listens_in = line.user_id().is_none().then(Vec::new);
        let listener = Listener {
            id,
            handle,
            line,
            wanted: None,
            block: None,
            listens_in,
            claims: false,
            asked_to_listen: false,
            claim_again_at: None,
            listen_again_at: None,
        };

        Self {
            id,
            commands,
            task: tokio::spawn(listener.run(receiver)),
        }
    }

    pub(super) fn id(&self) -> LineId {
        self.id
    }

    /// Uses the connection for this from now on.
    pub(super) fn use_for(&self, wanted: LineUse) {
        self.command(LineCommand::Use(wanted));
    }

    /// Declines the person who rings.
    pub(super) fn decline(&self, knock: KnockId) {
        self.command(LineCommand::Decline(knock));
    }

    /// Reports the partner of a call that has ended.
    pub(super) fn report(&self, session_id: SessionId, report: Report) {
        self.command(LineCommand::Report(session_id, report));
    }

    /// Blocks the partner of a call that has ended.
    pub(super) fn block(&self, partner: UserId) {
        self.command(LineCommand::Block(partner));
    }

    /// Returns the connection, to be used by a call or closed. `None` if the task panicked.
    pub(super) async fn stop(self) -> Option<SignalingLine> {
        drop(self.commands);
        self.task.await.ok()
    }

    fn command(&self, command: LineCommand) {
        // Fails only after a panic of the task.
        let _ = self.commands.send(command);
    }
}

struct Listener {
    id: LineId,
    handle: Handle,
    line: SignalingLine,
    /// What the app uses the connection for; `None` before it has said so.
    wanted: Option<LineUse>,
    /// Whom the user blocks, until the server has confirmed it.
    block: Option<UserId>,
    /// The rooms in which the server rings this app; `None` if that is not certain.
    listens_in: Option<Vec<String>>,
    /// A `claim_room` was sent and not answered yet.
    claims: bool,
    /// A `listen` was sent and not answered yet.
    asked_to_listen: bool,
    /// When to repeat a `claim_room` that the server refused.
    claim_again_at: Option<Instant>,
    /// When to repeat a `listen` that the server refused.
    listen_again_at: Option<Instant>,
}

/// For when the server does not say when to ask again.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(2);

impl Listener {
    /// Returns the connection when the commands end.
    async fn run(mut self, mut commands: UnboundedReceiver<LineCommand>) -> SignalingLine {
        if self.line.registration().is_some() {
            self.on_connected();
        } else if let Some(cause) = self.line.error() {
            self.notify(LineEvent::Lost { cause });
        }

        let mut is_open = true;
        loop {
            let due = [self.claim_again_at, self.listen_again_at];
            let due = due.into_iter().flatten().min();
            let time_to_ask = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };

            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return self.line,
                    Some(LineCommand::Use(wanted)) => {
                        self.wanted = Some(wanted);
                        // A room that is no longer wanted is left at once.
                        self.listen_again_at = None;
                        self.ask();
                    }
                    Some(LineCommand::Decline(knock_id)) => {
                        self.send(ClientMessage::Decline { knock_id });
                    }
                    Some(LineCommand::Report(session_id, report)) => {
                        if let Err(error) = self.line.report(session_id, &report) {
                            tracing::debug!(%error, "cannot send a report");
                            self.notify(LineEvent::Reported(ReportOutcome::Failed));
                        }
                    }
                    Some(LineCommand::Block(partner)) => {
                        self.block = Some(partner);
                        self.send_block();
                    }
                },
                event = self.line.recv(), if is_open => match event {
                    Some(event) => self.on_event(event),
                    None => is_open = false,
                },
                () = time_to_ask => {
                    let now = Instant::now();
                    self.claim_again_at.take_if(|due| *due <= now);
                    self.listen_again_at.take_if(|due| *due <= now);
                    self.ask();
                }
            }
        }
    }

    /// Sends the block that the server has not confirmed.
    fn send_block(&mut self) {
        if let Some(partner) = &self.block
            && let Err(error) = self.line.block(partner.clone())
        {
            tracing::debug!(%error, "cannot block a partner: trying again with the next connection");
        }
    }

    fn on_event(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Connected(_) => self.on_connected(),
            ClientEvent::Resumed { session_id, .. } => {
                // A call that ended while the connection was lost.
                if let Some(session_id) = session_id {
                    self.line.end_session(session_id);
                }

                self.on_connected();
            }
            ClientEvent::Disconnected { error, .. } => {
                self.claims = false;
                self.notify(LineEvent::Lost {
                    cause: error.code(),
                });
            }
            ClientEvent::Message(message) => self.on_message(message),
            ClientEvent::Garbage(garbage) => {
                tracing::debug!(%garbage, "unreadable message from the signaling server: ignored");
            }
            ClientEvent::Closed => {}
        }
    }

    fn on_connected(&mut self) {
        self.claims = false;
        self.asked_to_listen = false;
        self.claim_again_at = None;
        self.listen_again_at = None;
        if let Some(user) = self.line.user_id() {
            let user = user.clone();
            self.notify(LineEvent::Connected { user });
        }

        self.send_block();
        self.ask();
    }

    fn on_message(&mut self, message: ServerMessage) {
        if let Some(outcome) = ReportOutcome::of(&message) {
            self.notify(LineEvent::Reported(outcome));
            return;
        }

        if let Some(outcome) = BlockOutcome::of(&message) {
            self.block = None;
            self.notify(LineEvent::Blocked(outcome));
            return;
        }

        match message {
            ServerMessage::RoomClaimed(claimed) => {
                self.claims = false;
                self.notify(LineEvent::Claimed {
                    room: claimed.room,
                    guest: claimed.guest_token,
                    former: self.line.former_claim().cloned(),
                    random: rand::random(),
                });

                if let Some(wanted) = &mut self.wanted
                    && let RoomClaim::Ask(_) = wanted.claim
                {
                    wanted.claim = RoomClaim::Hold;
                }

                // The user may not want it any more.
                self.ask();
            }
            ServerMessage::Listening(_) => self.asked_to_listen = false,
            ServerMessage::Knock(knock) => {
                let Knock {
                    knock_id,
                    room,
                    user_name,
                    user_picture,
                    address,
                } = *knock;
                self.notify(LineEvent::Knock {
                    id: knock_id,
                    room,
                    profile: Box::new(Profile {
                        user_name: Some(user_name),
                        user_picture,
                        ..Profile::default()
                    }),
                    address,
                });
            }
            ServerMessage::KnockEnded(ended) => {
                self.notify(LineEvent::KnockEnded { id: ended.knock_id });
            }
            // No search runs here.
            ServerMessage::PartnerFound(found) => self.line.end_session(found.session_id),
            ServerMessage::Error(error) => self.on_error(&error),
            _ => {}
        }
    }

    /// The server answers in order, and the claim is asked for first.
    fn on_error(&mut self, error: &ErrorReport) {
        // Those of the line have none.
        if error.id.is_some() {
            return;
        }

        // The end of the last call has not reached every server of a cluster yet.
        let is_early = matches!(
            error.code,
            ErrorCode::AlreadyMatched | ErrorCode::AlreadySearching
        );
        let is_refusal = matches!(
            error.code,
            ErrorCode::RateLimited
                | ErrorCode::Unavailable
                | ErrorCode::Draining
                | ErrorCode::Internal
                | ErrorCode::UnknownType
        );

        if !is_refusal && !is_early {
            return;
        }

        let wait = error
            .retry_after_ms
            .map_or(DEFAULT_RETRY_AFTER, Duration::from_millis);
        let again_at = Instant::now() + wait;

        if !is_early && std::mem::take(&mut self.claims) {
            tracing::info!(code = ?error.code, "the signaling server gives no invite");
            let never = error.code == ErrorCode::UnknownType;

            // Others may have the invite already: the number is worth waiting for.
            if self.asks_for_former() && !never {
                self.claim_again_at = Some(again_at);
            } else {
                self.notify(LineEvent::ClaimRefused { never });
            }
        } else if error.code != ErrorCode::UnknownType && std::mem::take(&mut self.asked_to_listen)
        {
            tracing::debug!(code = ?error.code, ?wait, "cannot be rung yet: asking again later");
            self.listens_in = None;
            self.listen_again_at = Some(again_at);
        }
    }

    /// Whether the user waits for a number that an earlier connection had.
    fn asks_for_former(&self) -> bool {
        self.wanted
            .as_ref()
            .is_some_and(|wanted| matches!(wanted.claim, RoomClaim::Ask(Some(_))))
    }

    /// Asks the server for what is wanted and not there yet.
    fn ask(&mut self) {
        let (Some(registration), Some(wanted)) = (self.line.registration(), &self.wanted) else {
            return;
        };

        match &wanted.claim {
            RoomClaim::Ask(_) if !registration.reply.can(Capability::ClaimRoom) => {
                self.notify(LineEvent::ClaimRefused { never: true });
            }
            RoomClaim::Ask(former) if !self.claims && self.claim_again_at.is_none() => {
                if let Some(former) = former {
                    self.line.restore_claim(former.clone());
                }

                self.claims = self.line.claim_room().is_ok();
            }
            // The answer to a claim that is no longer wanted is still to come.
            RoomClaim::None if !self.claims => self.line.release_room(),
            RoomClaim::None | RoomClaim::Ask(_) | RoomClaim::Hold => {}
        }

        if self.listens_in.as_ref() != Some(&wanted.rooms) && self.listen_again_at.is_none() {
            let rooms = wanted.rooms.clone();
            let is_silent = rooms.is_empty();
            let listen = ClientMessage::Listen {
                rooms: rooms.clone(),
            };
            match self.line.send(listen) {
                Ok(()) => {
                    self.listens_in = Some(rooms);
                    self.asked_to_listen = true;
                }
                Err(SendError::Unsupported) => {
                    self.listens_in = Some(rooms);
                    if !is_silent {
                        self.notify(LineEvent::CannotRing);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot listen for callers: trying again later");
                }
            }
        }
    }

    /// Returns whether the message is on its way.
    fn send(&mut self, message: ClientMessage) -> bool {
        let kind = message.kind();
        let sent = self.line.send(message);
        if let Err(error) = &sent {
            tracing::debug!(%error, kind, "cannot send a message to the signaling server: dropped it");
        }

        sent.is_ok()
    }

    fn notify(&self, event: LineEvent) {
        self.handle.notify(Input::Line(self.id, event));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use serde_json::{Value, json};
    use tandem_signaling::ServerUrl;
    use tandem_signaling::client::ClientConfig;
    use tandem_signaling::message::FormerClaim;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message as Frame;

    use super::super::{Inbox, Message, channel};
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    /// A server under the test's control, with a line to it.
    struct Rig {
        listener: TcpListener,
        socket: WebSocketStream<TcpStream>,
        line: IdleLine,
        inbox: Inbox,
    }

    impl Rig {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = ServerUrl::listening_on(listener.local_addr().unwrap());
            let (handle, inbox) = channel();
            let line = SignalingLine::connect(ClientConfig::new(url));
            let line = IdleLine::start(LineId(1), line, handle);
            let socket = registered(&listener).await;

            Self {
                listener,
                socket,
                line,
                inbox,
            }
        }

        /// Loses the connection, and registers the line as a new user.
        async fn reconnect(&mut self) {
            self.socket.close(None).await.unwrap();
            self.socket = timeout(TIMEOUT, registered(&self.listener))
                .await
                .expect("another connection");
        }

        async fn say(&mut self, message: &Value) {
            let frame = Frame::text(message.to_string());
            self.socket.send(frame).await.unwrap();
        }

        /// The next message of this type from the line.
        async fn heard(&mut self, kind: &str) -> Value {
            let next = async {
                loop {
                    let frame = self.socket.next().await.unwrap().unwrap();
                    let text = frame.to_text().unwrap_or_default();
                    let message: Value = serde_json::from_str(text).unwrap_or_default();
                    if message["type"] == kind {
                        return message;
                    }
                }
            };
            timeout(TIMEOUT, next).await.expect(kind)
        }

        /// The next message from the line, of any type.
        async fn first(&mut self) -> Value {
            let next = async {
                loop {
                    let frame = self.socket.next().await.unwrap().unwrap();
                    if let Ok(message) = serde_json::from_str(frame.to_text().unwrap_or_default()) {
                        return message;
                    }
                }
            };
            timeout(TIMEOUT, next).await.expect("a message")
        }

        /// Waits until the line has read everything that was said.
        async fn until_read(&mut self) {
            self.say(&json!({ "type": "knock_ended", "knockId": "k", "reason": "cancelled" }))
                .await;
            let last = LineEvent::KnockEnded { id: "k".into() };
            assert_eq!(self.event().await, last);
        }

        /// The next event for the app, after the connection.
        async fn event(&mut self) -> LineEvent {
            let next = async {
                loop {
                    match self.inbox.0.recv().await {
                        Some(Message::Input(Input::Line(_, LineEvent::Connected { .. }))) => {}
                        Some(Message::Input(Input::Line(_, event))) => return event,
                        Some(_) => {}
                        None => panic!("the line reports to the app"),
                    }
                }
            };
            timeout(TIMEOUT, next).await.expect("an event")
        }
    }

    /// Takes the line's next connection and registers it.
    async fn registered(listener: &TcpListener) -> WebSocketStream<TcpStream> {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let registered = json!({
            "type": "user_registered", "userId": "u", "socketId": "s", "resumeToken": "t",
            "protocol": 1, "heartbeatMs": 0, "silentMs": 0, "resumeMs": 0,
            "maxMessageBytes": 65536, "capabilities": ["claim_room", "ring"],
        });
        socket
            .send(Frame::text(registered.to_string()))
            .await
            .unwrap();
        socket
    }

    fn former() -> FormerClaim {
        FormerClaim {
            room: "7".into(),
            claim_token: "secret".to_owned().into(),
        }
    }

    /// What the server says to refuse a message, and when to send it again.
    fn refusal(code: &str, retry_after: Duration) -> Value {
        let wait = u64::try_from(retry_after.as_millis()).unwrap();
        json!({ "type": "error", "code": code, "message": "No.", "retryAfterMs": wait })
    }

    fn claim(claim: RoomClaim) -> LineUse {
        LineUse {
            claim,
            rooms: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_number_that_others_may_know_is_asked_for_until_the_server_can_answer() {
        let mut rig = Rig::start().await;
        rig.line.use_for(claim(RoomClaim::Ask(Some(former()))));
        for code in ["rate_limited", "unavailable"] {
            let asked = rig.heard("claim_room").await;
            assert_eq!(asked["claimToken"], "secret", "{asked}");
            rig.say(&refusal(code, Duration::from_millis(10))).await;
        }

        rig.heard("claim_room").await;
        rig.say(
            &json!({ "type": "room_claimed", "room": "7", "expiresMs": 1, "claimToken": "next" }),
        )
        .await;
        let event = rig.event().await;
        assert!(
            matches!(&event, LineEvent::Claimed { room, former: Some(_), .. } if room == "7"),
            "the invite was never given up: {event:?}"
        );

        // The user withdraws it.
        rig.line.use_for(LineUse::default());
        let released = rig.heard("release_room").await;
        assert_eq!(released["room"], "7");
    }

    #[tokio::test]
    async fn a_first_number_that_is_refused_is_told_at_once() {
        let mut rig = Rig::start().await;
        rig.line.use_for(claim(RoomClaim::Ask(None)));
        rig.heard("claim_room").await;
        rig.say(&json!({ "type": "error", "code": "rate_limited", "message": "No." }))
            .await;
        assert_eq!(rig.event().await, LineEvent::ClaimRefused { never: false });
    }

    #[tokio::test]
    async fn a_number_that_comes_after_the_invite_was_withdrawn_is_given_back() {
        let mut rig = Rig::start().await;
        rig.line.use_for(claim(RoomClaim::Ask(None)));
        rig.heard("claim_room").await;
        rig.line.use_for(LineUse::default());
        rig.say(&json!({ "type": "room_claimed", "room": "9", "expiresMs": 1, "claimToken": "x" }))
            .await;
        assert_eq!(rig.heard("release_room").await["room"], "9");
    }

    #[tokio::test]
    async fn a_server_too_old_for_a_former_number_is_not_asked_again() {
        let mut rig = Rig::start().await;
        rig.line.use_for(claim(RoomClaim::Ask(Some(former()))));
        rig.heard("claim_room").await;
        rig.say(&json!({ "type": "error", "code": "unknown_type", "message": "No." }))
            .await;
        assert_eq!(rig.event().await, LineEvent::ClaimRefused { never: true });
    }

    #[tokio::test]
    async fn a_new_connection_is_asked_at_once() {
        let mut rig = Rig::start().await;
        rig.line.use_for(claim(RoomClaim::Ask(Some(former()))));
        rig.heard("claim_room").await;
        rig.say(&refusal("rate_limited", Duration::from_secs(600)))
            .await;
        rig.until_read().await;
        rig.reconnect().await;
        rig.heard("claim_room").await;
    }

    #[tokio::test]
    async fn a_block_is_repeated_until_the_server_has_confirmed_it() {
        let mut rig = Rig::start().await;
        rig.line.block("p".into());
        assert_eq!(rig.heard("block").await["partnerId"], "p");
        rig.reconnect().await;
        assert_eq!(rig.heard("block").await["partnerId"], "p");
        assert!(matches!(rig.event().await, LineEvent::Lost { .. }));
        rig.say(&json!({ "type": "blocked", "partnerId": "p", "id": "block" }))
            .await;
        let confirmed = BlockOutcome::Blocked("p".into());
        assert_eq!(rig.event().await, LineEvent::Blocked(confirmed));

        // A block would come before the room is asked for.
        rig.line.use_for(claim(RoomClaim::Ask(None)));
        rig.heard("claim_room").await;
        rig.reconnect().await;
        assert_eq!(rig.first().await["type"], "claim_room");
    }

    fn listen(rooms: &[&str]) -> LineUse {
        LineUse {
            claim: RoomClaim::None,
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn a_refused_list_of_rooms_is_sent_again() {
        let mut rig = Rig::start().await;
        rig.line.use_for(listen(&["a1"]));
        // The last two: the end of a call has not reached the whole cluster yet.
        for code in ["unavailable", "already_matched", "already_searching"] {
            rig.heard("listen").await;
            rig.say(&refusal(code, Duration::from_millis(10))).await;
        }

        assert_eq!(rig.heard("listen").await["rooms"], json!(["a1"]));
    }

    #[tokio::test]
    async fn the_server_says_how_long_to_wait() {
        let mut rig = Rig::start().await;
        rig.line.use_for(listen(&["a1"]));
        rig.heard("listen").await;
        let wait = DEFAULT_RETRY_AFTER + Duration::from_secs(1);
        let refused_at = Instant::now();
        rig.say(&refusal("unavailable", wait)).await;
        rig.heard("listen").await;
        assert!(refused_at.elapsed() >= wait, "{:?}", refused_at.elapsed());
    }

    #[tokio::test]
    async fn a_room_that_is_no_longer_wanted_is_left_at_once() {
        let mut rig = Rig::start().await;
        rig.line.use_for(listen(&["a1", "a2"]));
        rig.heard("listen").await;
        // Before the server would take the whole list.
        rig.say(&refusal("unavailable", Duration::from_secs(600)))
            .await;
        rig.until_read().await;
        rig.line.use_for(listen(&["a1"]));
        assert_eq!(rig.heard("listen").await["rooms"], json!(["a1"]));
    }
}
