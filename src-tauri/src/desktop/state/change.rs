//! Changes of the state, in whole top-level fields.

use serde::Serialize;
use ts_rs::TS;

use super::{
    AppState, Devices, HostState, IncomingCall, Invitation, NearbyState, OpenedInvite, Preview,
    Problem, RecentCall, Screen, ServerState, Settings, StrangerState, TokenState,
};

/// The event `state-changed`. A page that missed a revision fetches the whole state again.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct StateChange {
    /// The revision after this change.
    pub revision: u64,
    /// The fields that changed.
    #[ts(type = "Partial<Omit<AppState, \"revision\">>")]
    pub changes: StateChanges,
}

/// The event `microphone-level`, at most 15 per second and only on the home screen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct MicrophoneLevel {
    /// From 0, silence, to 1, full scale.
    pub level: f32,
}

/// The top-level fields of [`AppState`] that changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(
    missing_docs,
    reason = "each is the field of AppState with the same name"
)]
pub struct StateChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<Screen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// As `invitation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<Devices>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerState>,
    /// As `invitation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Option<TokenState>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearby: Option<NearbyState>,
    /// `Some(None)`: there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Option<Invitation>>,
    /// As `invitation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incoming: Option<Option<IncomingCall>>,
    /// As `invitation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened: Option<Option<OpenedInvite>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recents: Option<Vec<RecentCall>>,
    /// As `invitation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stranger: Option<Option<StrangerState>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_close: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<Problem>>,
}

impl StateChange {
    /// The change from `old` to `new`; `None` if nothing but the revision differs.
    pub fn between(old: &AppState, new: &AppState) -> Option<Self> {
        fn changed<T: Clone + PartialEq>(old: &T, new: &T) -> Option<T> {
            (old != new).then(|| new.clone())
        }

        let changes = StateChanges {
            screen: changed(&old.screen, &new.screen),
            settings: changed(&old.settings, &new.settings),
            picture: changed(&old.picture, &new.picture),
            devices: changed(&old.devices, &new.devices),
            preview: changed(&old.preview, &new.preview),
            server: changed(&old.server, &new.server),
            token: changed(&old.token, &new.token),
            host: changed(&old.host, &new.host),
            nearby: changed(&old.nearby, &new.nearby),
            invitation: changed(&old.invitation, &new.invitation),
            incoming: changed(&old.incoming, &new.incoming),
            opened: changed(&old.opened, &new.opened),
            recents: changed(&old.recents, &new.recents),
            stranger: changed(&old.stranger, &new.stranger),
            confirm_close: changed(&old.confirm_close, &new.confirm_close),
            problems: changed(&old.problems, &new.problems),
        };

        (changes != StateChanges::default()).then_some(Self {
            revision: new.revision,
            changes,
        })
    }
}
