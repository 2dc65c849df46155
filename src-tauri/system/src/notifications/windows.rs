//! Toast notifications.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use windows::Data::Xml::Dom::XmlDocument;
use windows::Foundation::TypedEventHandler;
use windows::UI::Notifications::{
    ToastActivatedEventArgs, ToastNotification, ToastNotificationManager, ToastNotifier,
};
use windows::core::{HSTRING, Interface};

use super::{App, Event, EventKind, EventSender, Notification, Shown, Sound, Timeout, Urgency};
use crate::SystemError;
use crate::text::escaped;

/// The toasts of this program. Their text is XML; see Microsoft's "Toast schema".
#[derive(Debug)]
pub(super) struct Server {
    app: App,
    events: EventSender,
    shown: Arc<Mutex<HashMap<String, ToastNotification>>>,
}

impl Server {
    pub(super) fn connect(app: App, events: EventSender) -> Result<Self, SystemError> {
        Ok(Self {
            app,
            events,
            shown: Arc::default(),
        })
    }

    pub(super) async fn show(&self, notification: Notification) -> Result<Shown, SystemError> {
        let document = XmlDocument::new()?;
        document.LoadXml(&HSTRING::from(toast_xml(&notification)))?;

        let toast = ToastNotification::CreateToastNotification(&document)?;
        toast.SetTag(&HSTRING::from(&notification.tag))?;
        self.listen(&toast, &notification.tag)?;

        // Before it is shown, so that its end finds it.
        let tag = notification.tag;
        self.shown.lock().insert(tag.clone(), toast.clone());
        if let Err(error) = self.notifier().and_then(|notifier| notifier.Show(&toast)) {
            self.shown.lock().remove(&tag);
            return Err(error.into());
        }
        Ok(Shown { has_actions: true })
    }

    pub(super) async fn close(&self, tag: &str) -> Result<(), SystemError> {
        let Some(toast) = self.shown.lock().remove(tag) else {
            return Ok(());
        };
        self.events.send(event(tag, EventKind::Closed));
        self.notifier()?.Hide(&toast)?;
        Ok(())
    }

    pub(super) fn tags(&self) -> Vec<String> {
        self.shown.lock().keys().cloned().collect()
    }

    fn notifier(&self) -> windows::core::Result<ToastNotifier> {
        ToastNotificationManager::CreateToastNotifierWithId(&HSTRING::from(&self.app.id))
    }

    /// Windows calls the handlers on threads of its own.
    fn listen(&self, toast: &ToastNotification, tag: &str) -> windows::core::Result<()> {
        let (events, tag_of_answer) = (self.events.clone(), tag.to_owned());
        toast.Activated(&TypedEventHandler::new(
            move |_toast, arguments: windows::core::Ref<'_, windows::core::IInspectable>| {
                let arguments = arguments.ok()?.cast::<ToastActivatedEventArgs>()?;
                let key = arguments.Arguments()?.to_string();
                let kind = if key.is_empty() {
                    EventKind::Clicked
                } else {
                    EventKind::Action(key)
                };
                events.send(event(&tag_of_answer, kind));
                Ok(())
            },
        ))?;

        let (events, tag, shown) = (self.events.clone(), tag.to_owned(), Arc::clone(&self.shown));
        toast.Dismissed(&TypedEventHandler::new(
            move |toast: windows::core::Ref<'_, ToastNotification>, _reason| {
                let mut shown = shown.lock();
                // Not one that was closed by us, or replaced.
                if shown.get(&tag) == toast.as_ref() {
                    shown.remove(&tag);
                    events.send(event(&tag, EventKind::Closed));
                }
                Ok(())
            },
        ))?;
        Ok(())
    }
}

fn event(tag: &str, kind: EventKind) -> Event {
    Event {
        tag: tag.to_owned(),
        kind,
        activation_token: None,
    }
}

fn toast_xml(notification: &Notification) -> String {
    // A reminder stays until it is answered, and has to have a button.
    let stays = notification.urgency == Urgency::Critical && !notification.actions.is_empty();
    let scenario = if stays { r#" scenario="reminder""# } else { "" };
    let is_long = stays || notification.timeout == Timeout::Never;
    let duration = if is_long { "long" } else { "short" };
    let silent = notification.sound == Sound::None;

    let actions: String = notification
        .actions
        .iter()
        .map(|action| {
            let (label, key) = (escaped(&action.label), escaped(&action.key));
            format!(r#"<action content="{label}" arguments="{key}"/>"#)
        })
        .collect();

    let (title, body) = (escaped(&notification.title), escaped(&notification.body));
    format!(
        r#"<toast duration="{duration}"{scenario}><visual><binding template="ToastGeneric"><text>{title}</text><text>{body}</text></binding></visual><actions>{actions}</actions><audio silent="{silent}"/></toast>"#
    )
}
