//! A search and the call that comes of it.

use std::time::{Duration, Instant};

use tandem_call::machine::{EndCode, EndReason};
use tandem_call::session::CallEventKind;
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;

use super::{App, CONNECT_PATIENCE, CallId, CallPlan, Effect, Figures, Now};
use crate::desktop::state::{
    ConnectingStep, InCall, Partner, Place, RelayState, RelayStatus, Screen,
};

/// What the machine knows of the running search or call. It is there exactly while the screen is `Waiting`,
/// `Connecting` or `InCall`.
#[derive(Debug)]
pub(super) struct ActiveCall {
    pub(super) id: CallId,
    pub(super) room: Option<String>,
    /// When the connection is late.
    pub(super) late_at: Option<Instant>,
    /// When the call began that is on now.
    connected_at: Option<Instant>,
    /// The chosen camera gives the call no pictures.
    pub(super) camera_failed: bool,
}

impl App {
    /// Begins to search.
    pub(super) fn start_call(&mut self, now: Now, room: Option<String>) {
        // The camera and the microphone must be free before a call opens them.
        self.release_all();
        self.muted = false;
        self.solved(Place::Call);
        self.solved(Place::Relay);
        self.solved(Place::Room);
        // The call opens them anew, and tells what fails.
        self.solved(Place::Camera);
        self.solved(Place::Microphone);
        let id = CallId(self.next_id());
        let plan = self.plan(room.clone());
        self.effects
            .push_back(Effect::StartCall(id, Box::new(plan)));
        self.call = Some(ActiveCall {
            id,
            room: room.clone(),
            late_at: None,
            connected_at: None,
            camera_failed: false,
        });

        self.state.relay = RelayState {
            status: RelayStatus::Connecting,
        };

        self.state.screen = Screen::Waiting {
            room,
            started_at_ms: now.unix_ms,
        };
    }

    fn plan(&self, room: Option<String>) -> CallPlan {
        let settings = &self.state.settings;
        CallPlan {
            relay_url: self
                .own_relay
                .clone()
                .unwrap_or_else(|| settings.relay_url.clone()),
            room,
            name: Some(settings.name.trim())
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            video: self.video(),
            camera_on: settings.camera_enabled,
            audio: self.audio(),
            speaker: self.speaker(),
            processing: self.processing(),
        }
    }

    /// Takes the call apart, whatever is on the screen. Gives what it was.
    pub(super) fn end_call(&mut self) -> Option<ActiveCall> {
        let call = self.call.take()?;
        self.effects.push_back(Effect::ShowRemote(false));
        self.effects.push_back(Effect::EndCall(call.id));

        if self.state.relay.status != RelayStatus::Unreachable {
            self.state.relay = RelayState::default();
        }

        Some(call)
    }

    /// The call is over, for this reason: its last screen.
    pub(super) fn ended(&mut self, now: Now, code: EndCode) {
        let Some(call) = self.end_call() else { return };
        if code == EndCode::RelayUnreachable {
            self.state.relay = RelayState {
                status: RelayStatus::Unreachable,
            };
        }

        let lasted = call
            .connected_at
            .map(|since| now.at.saturating_duration_since(since));
        self.state.screen = Screen::Ended {
            reason: code.as_str().to_owned(),
            duration_ms: lasted.map(millis),
            room: call.room,
        };
    }

    pub(super) fn on_call_event(&mut self, now: Now, event: CallEventKind) {
        match event {
            CallEventKind::Registered | CallEventKind::SignalingBack => {
                self.relay_is(RelayStatus::Connected)
            }
            CallEventKind::Searching => self.on_searching(now),
            CallEventKind::Matched { partner, .. } => {
                self.on_matched(now, super::partner::shown(&partner))
            }
            CallEventKind::Checking => {
                if let Screen::Connecting { step, .. } = &mut self.state.screen {
                    *step = ConnectingStep::Checking;
                }
            }
            CallEventKind::Connected => self.on_connected(now),
            CallEventKind::FirstRemoteFrame | CallEventKind::FirstRemoteAudio => {}
            CallEventKind::Media(MediaEvent::Failed { part, error }) => {
                let place = match part {
                    MediaPart::Camera => Place::Camera,
                    MediaPart::Microphone => Place::Microphone,
                    MediaPart::Speaker => Place::Speaker,
                    MediaPart::Recording => Place::Call,
                };

                if part == MediaPart::Camera {
                    self.camera_gives_pictures(false);
                }

                self.problem_of_device(place, error);
            }
            CallEventKind::SignalingLost => self.relay_is(RelayStatus::Unreachable),
            CallEventKind::PartnerReconnecting => {
                self.in_call(|call| call.partner_reconnecting = true)
            }
            CallEventKind::PartnerBack => self.in_call(|call| call.partner_reconnecting = false),
            CallEventKind::PartnerState { muted, camera_on } => {
                self.in_call(|call| {
                    (call.partner_muted, call.partner_camera_off) = (muted, !camera_on)
                });
            }
            CallEventKind::Ended {
                reason: EndReason { code, .. },
            } => self.ended(now, code),
        }
    }

    /// Whether there is anything to be seen of the user, as far as is known: a camera that is tried anew may work.
    pub(super) fn camera_gives_pictures(&mut self, works: bool) {
        let sends_video = works && self.video() != VideoSpec::None;
        if let Some(call) = &mut self.call {
            call.camera_failed = !works;
        }

        self.in_call(|call| call.sends_video = sends_video);
    }

    fn relay_is(&mut self, status: RelayStatus) {
        self.state.relay = RelayState { status };
        self.in_call(|call| call.relay_lost = status == RelayStatus::Unreachable);
    }

    fn on_searching(&mut self, now: Now) {
        let Some(call) = &mut self.call else { return };
        (call.late_at, call.connected_at) = (None, None);

        if !matches!(self.state.screen, Screen::Waiting { .. }) {
            self.state.screen = Screen::Waiting {
                room: call.room.clone(),
                started_at_ms: now.unix_ms,
            };

            self.effects.push_back(Effect::ShowRemote(false));
        }
    }

    fn on_matched(&mut self, now: Now, partner: Partner) {
        let Some(call) = &mut self.call else { return };
        call.late_at = Some(now.at + CONNECT_PATIENCE);
        call.connected_at = None;
        self.effects.push_back(Effect::ShowRemote(true));
        self.state.screen = Screen::Connecting {
            partner,
            step: ConnectingStep::Exchanging,
            started_at_ms: now.unix_ms,
            timed_out: false,
        };
    }

    fn on_connected(&mut self, now: Now) {
        let Screen::Connecting { partner, .. } = &self.state.screen else {
            return;
        };

        let partner = partner.clone();
        let Some(call) = &mut self.call else { return };
        (call.late_at, call.connected_at) = (None, Some(now.at));
        let camera_failed = call.camera_failed;
        let camera_on = self.state.settings.camera_enabled;
        self.state.screen = Screen::InCall(InCall {
            partner,
            connected_at_ms: now.unix_ms,
            route: None,
            encrypted: false,
            quality: None,
            muted: self.muted,
            camera_on,
            sends_video: self.video() != VideoSpec::None && !camera_failed,
            partner_muted: false,
            partner_camera_off: false,
            partner_reconnecting: false,
            relay_lost: self.state.relay.status == RelayStatus::Unreachable,
        });
    }

    pub(super) fn on_figures(&mut self, id: CallId, figures: Figures) {
        if self.call.as_ref().is_some_and(|call| call.id == id) {
            self.in_call(|call| {
                // A path that was known stays on show while it is looked up anew.
                call.route = figures.route.or(call.route);
                call.encrypted |= figures.encrypted;
                call.quality = figures.quality;
            });
        }
    }

    pub(super) fn in_call(&mut self, change: impl FnOnce(&mut InCall)) {
        if let Screen::InCall(call) = &mut self.state.screen {
            change(call);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
