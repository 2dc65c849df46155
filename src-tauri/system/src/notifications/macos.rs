//! Notifications of the UserNotifications framework, without actions and answers: these need a
//! delegate and categories.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use block2::RcBlock;
use objc2::runtime::Bool;
use objc2_foundation::{NSArray, NSBundle, NSString};
use objc2_user_notifications::{
    UNAuthorizationOptions, UNMutableNotificationContent, UNNotificationRequest,
    UNNotificationSound, UNUserNotificationCenter,
};

use super::{App, Event, EventKind, EventSender, Notification, Shown, Sound};
use crate::SystemError;

/// The system's notification center.
#[derive(Debug)]
pub(super) struct Server {
    /// What was shown and not closed. What the person closed is in here, too.
    tags: Mutex<HashSet<String>>,
    events: EventSender,
}

impl Server {
    /// Asks the person for permission, if that has never been done.
    pub(super) fn connect(_app: App, events: EventSender) -> Result<Self, SystemError> {
        // The notification center raises an exception in a program without a bundle.
        if NSBundle::mainBundle().bundleIdentifier().is_none() {
            return Err(SystemError::NoBundle);
        }

        let options = UNAuthorizationOptions::Alert | UNAuthorizationOptions::Sound;
        let answered = RcBlock::new(|allowed: Bool, _error| {
            tracing::debug!(
                allowed = allowed.as_bool(),
                "permission to show notifications"
            );
        });
        UNUserNotificationCenter::currentNotificationCenter()
            .requestAuthorizationWithOptions_completionHandler(options, &answered);

        Ok(Self {
            tags: Mutex::default(),
            events,
        })
    }

    pub(super) async fn show(&self, notification: Notification) -> Result<Shown, SystemError> {
        let content = UNMutableNotificationContent::new();
        content.setTitle(&NSString::from_str(&notification.title));
        content.setBody(&NSString::from_str(&notification.body));
        if notification.sound == Sound::Usual {
            content.setSound(Some(&UNNotificationSound::defaultSound()));
        }

        // At once: without a trigger.
        let request = UNNotificationRequest::requestWithIdentifier_content_trigger(
            &NSString::from_str(&notification.tag),
            &content,
            None,
        );
        UNUserNotificationCenter::currentNotificationCenter()
            .addNotificationRequest_withCompletionHandler(&request, None);

        self.locked().insert(notification.tag);
        Ok(Shown { has_actions: false })
    }

    pub(super) async fn close(&self, tag: &str) -> Result<(), SystemError> {
        if self.locked().remove(tag) {
            let tags = NSArray::from_retained_slice(&[NSString::from_str(tag)]);
            let center = UNUserNotificationCenter::currentNotificationCenter();
            center.removePendingNotificationRequestsWithIdentifiers(&tags);
            center.removeDeliveredNotificationsWithIdentifiers(&tags);
            self.events.send(Event {
                tag: tag.to_owned(),
                kind: EventKind::Closed,
                activation_token: None,
            });
        }
        Ok(())
    }

    pub(super) fn tags(&self) -> Vec<String> {
        self.locked().iter().cloned().collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
