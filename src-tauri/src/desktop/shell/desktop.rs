//! Sounds, notifications, staying awake and the window itself, as the app's effects control them.

use std::sync::Arc;
use std::time::Duration;

use tandem_media::audio::{Repeat, RingOptions, RingSound, RingTone};
use tandem_system::{
    Action, App, Event, EventKind, Events, KeepAwake, Notifications, Timeout, Urgency,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Handle, drop_blocking};
use crate::desktop::app::{Input, Notification, NotificationReply, Tone, ToneSpec};

/// How long the end of the program waits until its notification is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The tag of the one notification that is shown at a time.
const TAG: &str = "call";
/// The keys of the notification's buttons, before a colon and the number of the ring: a late click
/// answers no later ring.
const ACCEPT: &str = "accept";
const DECLINE: &str = "decline";

/// The window, as far as the app moves it.
pub trait WindowControl: Send + Sync {
    /// Brings it to the front.
    fn show(&self);
    /// Hides it, before the program ends.
    fn hide(&self);
    /// Shows it on the whole screen, or as a window again.
    fn toggle_full_screen(&self);
    /// Has the desktop mark it, or no longer.
    fn ask_for_attention(&self, on: bool);
}

/// What the desktop shows and plays for the app at the moment.
pub(super) struct Desktop {
    window: Arc<dyn WindowControl>,
    handle: Handle,
    /// Plays over and over.
    tone: Option<RingTone>,
    /// Plays once.
    once: Option<RingTone>,
    notifier: Option<Notifier>,
    /// Dropped when the computer may sleep again.
    awake: Option<oneshot::Sender<()>>,
}

impl Desktop {
    pub(super) fn new(window: Arc<dyn WindowControl>, handle: Handle) -> Self {
        Self {
            window,
            handle,
            tone: None,
            once: None,
            notifier: None,
            awake: None,
        }
    }

    pub(super) fn window(&self) -> &dyn WindowControl {
        &*self.window
    }

    /// Plays a tone over and over; `None`: silence, and the speaker is free when this returns.
    pub(super) async fn play(&mut self, tone: Option<ToneSpec>) {
        if let Some(before) = self.tone.take() {
            drop_blocking("the ring", before).await;
        }

        self.tone = tone.map(|tone| start(tone, Repeat::UntilStopped));
    }

    /// Ends every sound: the speaker is free when this returns.
    pub(super) async fn silence(&mut self) {
        self.play(None).await;

        if let Some(before) = self.once.take() {
            drop_blocking("a sound", before).await;
        }
    }

    pub(super) async fn play_once(&mut self, tone: ToneSpec) {
        if let Some(before) = self.once.take() {
            drop_blocking("a sound", before).await;
        }

        self.once = Some(start(tone, Repeat::Once));
    }

    /// Shows a notification instead of the present one, or none.
    pub(super) fn notify(&mut self, notification: Option<Notification>) {
        if notification.is_none() && self.notifier.is_none() {
            return;
        }

        // The task ends without a notification service, which may be there by now.
        if self
            .notifier
            .as_ref()
            .is_some_and(|notifier| notifier.requests.is_closed())
        {
            self.notifier = None;
        }

        let handle = &self.handle;
        let notifier = self
            .notifier
            .get_or_insert_with(|| Notifier::start(handle.clone()));
        // Fails if the task has ended since: the next request starts another.
        let _ = notifier.requests.send(notification);
    }

    /// Keeps screen and computer awake, or no longer.
    pub(super) fn keep_awake(&mut self, on: bool) {
        self.awake = on.then(|| {
            let (awake, ended) = oneshot::channel::<()>();
            tokio::spawn(async move {
                match KeepAwake::start("Tandem", "In a call").await {
                    Ok(_guard) => {
                        // Ends with an error, when the sender is dropped.
                        let _ = ended.await;
                    }
                    Err(error) => {
                        tracing::info!(%error, "the screen may turn off during this call");
                    }
                }
            });

            awake
        });
    }

    /// Ends everything, before the program ends.
    pub(super) async fn close(&mut self) {
        self.silence().await;
        self.awake = None;

        if let Some(Notifier { requests, task }) = self.notifier.take() {
            drop(requests);
            if tokio::time::timeout(CLOSE_TIMEOUT, task).await.is_err() {
                tracing::debug!("a notification may stay on the screen");
            }
        }
    }
}

fn start(spec: ToneSpec, repeat: Repeat) -> RingTone {
    let options = RingOptions {
        sound: match spec.tone {
            Tone::Ring => RingSound::Incoming,
            Tone::Ringback => RingSound::Ringback,
            Tone::Found => RingSound::Found,
        },
        sink: spec.speaker,
        volume: f32::from(spec.volume) / 100.0,
        repeat,
    };

    // A speaker that fails is reported where it is chosen and in calls. A ring is also seen.
    let report = |result: Result<(), tandem_media::DeviceError>| {
        if let Err(error) = result {
            tracing::warn!(%error, "a call may not be heard");
        }
    };
    RingTone::start(options, Box::new(report))
}

/// The task that talks to the desktop's notification service, which may take its time.
struct Notifier {
    /// What to show from now on.
    requests: UnboundedSender<Option<Notification>>,
    task: JoinHandle<()>,
}

impl Notifier {
    fn start(handle: Handle) -> Self {
        let (requests, receiver) = unbounded_channel();
        Self {
            requests,
            task: tokio::spawn(serve(receiver, handle)),
        }
    }
}

async fn serve(mut requests: UnboundedReceiver<Option<Notification>>, handle: Handle) {
    let app = App {
        name: "Tandem".into(),
        id: "org.tandemchat.tandem".into(),
        desktop_entry: "tandem".into(),
        open_label: "Open".into(),
    };
    let (notifications, mut events) = match Notifications::connect(app).await {
        Ok(connected) => connected,
        Err(error) => {
            tracing::info!(%error, "this desktop shows no notifications");
            return;
        }
    };

    loop {
        let request = tokio::select! {
            request = requests.recv() => request,
            event = next_event(&mut events) => {
                if let Some(reply) = reply(&event) {
                    handle.notify(Input::Notification(reply));
                }

                continue;
            }
        };

        let result = match request {
            Some(Some(notification)) => notifications.show(shown(notification)).await.map(drop),
            Some(None) => notifications.close(TAG).await,
            None => break,
        };

        if let Err(error) = result {
            tracing::info!(%error, "a notification was not shown or not removed");
        }
    }

    if let Err(error) = notifications.close_all().await {
        tracing::debug!(%error, "a notification may stay on the screen");
    }
}

/// The next event; waits forever once the service is gone.
async fn next_event(events: &mut Events) -> Event {
    match events.recv().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

fn reply(event: &Event) -> Option<NotificationReply> {
    match &event.kind {
        EventKind::Action(key) => {
            let (action, id) = key.split_once(':')?;
            let id = id.parse().ok()?;

            match action {
                ACCEPT => Some(NotificationReply::Accept { id }),
                DECLINE => Some(NotificationReply::Decline { id }),
                _ => None,
            }
        }
        EventKind::Clicked => Some(NotificationReply::Show),
        EventKind::Closed => None,
    }
}

fn shown(notification: Notification) -> tandem_system::Notification {
    match notification {
        Notification::Ringing { id, name } => tandem_system::Notification {
            body: format!("{} is calling", name.as_deref().unwrap_or("Someone")),
            actions: vec![
                Action::new(format!("{ACCEPT}:{id}"), "Accept"),
                Action::new(format!("{DECLINE}:{id}"), "Decline"),
            ],
            urgency: Urgency::Critical,
            timeout: Timeout::Never,
            ..tandem_system::Notification::new(TAG, "Incoming call")
        },
        Notification::Found { name } => tandem_system::Notification {
            body: match name {
                Some(name) => format!("Connecting you to {name}…"),
                None => "Connecting you…".to_owned(),
            },
            ..tandem_system::Notification::new(TAG, "Found someone")
        },
    }
}
