//! Which notifications are on the screen: tags on our side, the server's numbers on the other.
//! Signals and replies go in, events come out; no I/O.

use std::collections::HashMap;

use super::{Event, EventKind};

/// Signals that may arrive before the reply that says which notification they are about. The
/// server sends the reply first, but another task reads it.
const MAX_EARLY: usize = 16;

/// The action of a click on the notification itself (Desktop Notifications Specification 1.2).
pub(super) const DEFAULT_ACTION: &str = "default";

/// Longest activation token that is passed on, in bytes. Wayland compositors use about 40.
const MAX_TOKEN_BYTES: usize = 256;

/// A notification server's signal about one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// A permission to bring the window to the front; the action follows.
    ActivationToken(String),
    /// A button, by its key.
    Action(String),
    Closed,
}

/// The notifications that are on the screen.
#[derive(Debug, Default)]
pub(super) struct ShownSet {
    open: HashMap<String, Open>,
    /// A request to show one is on its way.
    is_waiting: bool,
    early: Vec<(String, u32, Signal)>,
}

/// A notification on the screen.
#[derive(Debug)]
struct Open {
    id: u32,
    /// The unique bus name of the server that shows it. Numbers of another one mean nothing.
    server: String,
    /// The keys that it was given.
    actions: Vec<String>,
    activation_token: Option<String>,
}

impl ShownSet {
    /// A request to show `tag` is sent: the number of the notification that it replaces, 0 if none.
    pub(super) fn begin(&mut self, tag: &str) -> u32 {
        self.is_waiting = true;
        self.open.get(tag).map_or(0, |open| open.id)
    }

    /// The request failed, or there will be no answer.
    pub(super) fn abandon(&mut self) {
        self.is_waiting = false;
        self.early.clear();
    }

    /// `server` shows `tag` as its number `id`. Returns what has happened to it since.
    pub(super) fn finish(
        &mut self,
        tag: &str,
        server: &str,
        id: u32,
        actions: Vec<String>,
    ) -> Vec<Event> {
        self.is_waiting = false;
        let open = Open {
            id,
            server: server.to_owned(),
            actions,
            activation_token: None,
        };
        self.open.insert(tag.to_owned(), open);

        std::mem::take(&mut self.early)
            .into_iter()
            .filter_map(|(server, id, signal)| self.signal(&server, id, signal))
            .collect()
    }

    /// `server` sent a signal about its number `id`. Servers send these to everyone, so most are
    /// about notifications of other programs.
    pub(super) fn signal(&mut self, server: &str, id: u32, signal: Signal) -> Option<Event> {
        let of_signal = |open: &Open| open.id == id && open.server == server;
        let Some((tag, open)) = self.open.iter_mut().find(|(_, open)| of_signal(open)) else {
            if self.is_waiting && self.early.len() < MAX_EARLY {
                self.early.push((server.to_owned(), id, signal));
            }
            return None;
        };

        let tag = tag.clone();
        let (kind, activation_token) = match signal {
            Signal::ActivationToken(token) => {
                open.activation_token = Some(token).filter(|token| token.len() <= MAX_TOKEN_BYTES);
                return None;
            }
            Signal::Action(key) if key == DEFAULT_ACTION => {
                (EventKind::Clicked, open.activation_token.take())
            }
            Signal::Action(key) if open.actions.contains(&key) => {
                (EventKind::Action(key), open.activation_token.take())
            }
            Signal::Action(_) => return None,
            Signal::Closed => {
                self.open.remove(&tag);
                (EventKind::Closed, None)
            }
        };

        Some(Event {
            tag,
            kind,
            activation_token,
        })
    }

    /// Forgets `tag`, because it is about to be closed: its number and event.
    pub(super) fn close(&mut self, tag: &str) -> Option<(u32, Event)> {
        let open = self.open.remove(tag)?;
        Some((open.id, closed(tag.to_owned())))
    }

    /// The server with this unique bus name is gone, and what it showed with it.
    pub(super) fn server_gone(&mut self, server: &str) -> Vec<Event> {
        self.open
            .extract_if(|_, open| open.server == server)
            .map(|(tag, _)| closed(tag))
            .collect()
    }

    pub(super) fn tags(&self) -> Vec<String> {
        self.open.keys().cloned().collect()
    }
}

fn closed(tag: String) -> Event {
    Event {
        tag,
        kind: EventKind::Closed,
        activation_token: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = ":1.7";

    fn event(tag: &str, kind: EventKind) -> Event {
        Event {
            tag: tag.into(),
            kind,
            activation_token: None,
        }
    }

    fn action(key: &str) -> Signal {
        Signal::Action(key.into())
    }

    /// With `tag` on the screen as number `id`, and the actions `accept` and `decline`.
    fn with(tag: &str, id: u32) -> ShownSet {
        let mut shown = ShownSet::default();
        assert_eq!(shown.begin(tag), 0, "it replaces nothing");
        let actions = vec!["accept".into(), "decline".into()];
        assert_eq!(shown.finish(tag, SERVER, id, actions), []);
        shown
    }

    #[test]
    fn an_answer_and_the_end_become_events() {
        let mut shown = with("ring", 4);

        let answer = shown.signal(SERVER, 4, action("accept"));
        assert_eq!(
            answer,
            Some(event("ring", EventKind::Action("accept".into())))
        );
        let end = shown.signal(SERVER, 4, Signal::Closed);
        assert_eq!(end, Some(event("ring", EventKind::Closed)));

        assert_eq!(
            shown.signal(SERVER, 4, Signal::Closed),
            None,
            "only one end"
        );
    }

    #[test]
    fn only_the_server_that_shows_it_can_answer() {
        let mut shown = with("ring", 4);
        assert_eq!(shown.signal(":1.8", 4, action("accept")), None);
    }

    #[test]
    fn signals_of_other_programs_are_ignored() {
        let mut shown = with("ring", 4);
        assert_eq!(shown.signal(SERVER, 5, action("accept")), None);
        assert_eq!(shown.signal(SERVER, 5, Signal::Closed), None);
    }

    #[test]
    fn only_actions_that_were_offered_count() {
        let mut shown = with("ring", 4);
        assert_eq!(shown.signal(SERVER, 4, action("open-shell")), None);

        let click = shown.signal(SERVER, 4, action("default"));
        assert_eq!(click, Some(event("ring", EventKind::Clicked)));
    }

    #[test]
    fn an_activation_token_goes_with_the_answer_that_follows_it() {
        let mut shown = with("ring", 4);
        let token = |text: &str| Signal::ActivationToken(text.into());

        assert_eq!(shown.signal(SERVER, 4, token("t")), None);
        let click = shown.signal(SERVER, 4, action("default"));
        let given = click.and_then(|event| event.activation_token);
        assert_eq!(given.as_deref(), Some("t"));

        shown.signal(SERVER, 4, token(&"t".repeat(257)));
        let click = shown.signal(SERVER, 4, action("default"));
        assert_eq!(
            click.and_then(|event| event.activation_token),
            None,
            "too long"
        );
    }

    #[test]
    fn signals_that_overtake_the_reply_are_not_lost() {
        let mut shown = ShownSet::default();
        shown.begin("ring");
        assert_eq!(shown.signal(SERVER, 4, action("decline")), None);
        assert_eq!(shown.signal(SERVER, 4, Signal::Closed), None);

        let events = shown.finish("ring", SERVER, 4, vec!["decline".into()]);
        assert_eq!(
            events,
            [
                event("ring", EventKind::Action("decline".into())),
                event("ring", EventKind::Closed)
            ]
        );
    }

    #[test]
    fn early_signals_are_kept_only_while_a_reply_is_due_and_only_a_few() {
        let mut shown = with("other", 9);
        shown.signal(SERVER, 4, Signal::Closed);
        assert!(shown.early.is_empty(), "no reply is due");

        shown.begin("ring");
        for _ in 0..1_000 {
            shown.signal(SERVER, 5, Signal::Closed);
        }
        assert_eq!(shown.early.len(), MAX_EARLY);

        shown.abandon();
        assert!(shown.early.is_empty(), "no reply is due any more");
    }

    #[test]
    fn the_same_tag_replaces_and_another_does_not() {
        let mut shown = with("ring", 4);
        assert_eq!(shown.begin("ring"), 4);
        assert_eq!(shown.begin("other"), 0);
    }

    #[test]
    fn a_closed_notification_is_not_replaced() {
        let mut shown = with("ring", 4);
        assert_eq!(
            shown.close("ring"),
            Some((4, event("ring", EventKind::Closed)))
        );

        assert_eq!(shown.close("ring"), None);
        assert_eq!(shown.begin("ring"), 0);
        assert_eq!(
            shown.signal(SERVER, 4, Signal::Closed),
            None,
            "its event was sent when it was closed"
        );
    }

    #[test]
    fn what_a_server_showed_ends_with_it() {
        let mut shown = with("ring", 4);
        assert_eq!(shown.server_gone(":1.8"), []);
        assert_eq!(
            shown.server_gone(SERVER),
            [event("ring", EventKind::Closed)]
        );
        assert_eq!(shown.tags(), [""; 0]);
    }
}
