//! A search and the calls that follow from it.

use std::time::{Duration, Instant};

use tandem_call::CallEventKind;
use tandem_call::{EndCode, EndReason};
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tandem_signaling::client::{ClientConfig, ClientErrorCode};

use super::{App, CallId, CallPlan, Effect, Figures, Now, SLOW_CONNECTION_AFTER};
use crate::desktop::state::{
    ConnectingStep, InCall, Partner, ProblemPlace, Screen, ServerState, ServerStatus, Settings,
};
use crate::values::RoomText;

/// The running search or call. It exists exactly while the screen is `Waiting`, `Connecting` or
/// `InCall`.
#[derive(Debug)]
pub(super) struct ActiveCall {
    pub(super) id: CallId,
    pub(super) room: Option<RoomText>,
    /// When the connection counts as slow; `None` unless it is being made.
    pub(super) slow_at: Option<Instant>,
    /// When the present partner was connected.
    connected_at: Option<Instant>,
    /// The chosen camera failed in this call.
    pub(super) camera_failed: bool,
}

impl App {
    /// Starts a search.
    pub(super) fn start_call(&mut self, now: Now, room: Option<RoomText>) {
        let plan = self.plan(room.clone());
        self.hand_over_devices(&plan);

        // The call opens the devices itself and reports what fails.
        self.solved(ProblemPlace::Call);
        self.solved(ProblemPlace::Server);
        self.solved(ProblemPlace::Room);
        self.solved(ProblemPlace::Camera);
        self.solved(ProblemPlace::Microphone);

        let id = CallId(self.next_id());
        self.effects
            .push_back(Effect::StartCall(id, Box::new(plan)));
        self.call = Some(ActiveCall {
            id,
            room,
            slow_at: None,
            connected_at: None,
            camera_failed: false,
        });

        self.state.server = ServerState {
            status: ServerStatus::Connecting,
        };

        self.show_waiting(now);
    }

    /// Shows that the running search has not found anyone yet.
    fn show_waiting(&mut self, now: Now) {
        let sends_video = self.sends_video();
        let Some(call) = &self.call else { return };

        self.state.screen = Screen::Waiting {
            room: call.room.as_ref().map(RoomText::to_string),
            started_at_ms: now.unix_ms,
            sends_video,
        };
    }

    /// Whether the running call has video to send, if the camera is on.
    fn sends_video(&self) -> bool {
        let has_failed = self.call.as_ref().is_some_and(|call| call.camera_failed);
        self.video() != VideoSpec::None && !has_failed
    }

    fn plan(&self, room: Option<RoomText>) -> CallPlan {
        let settings = &self.state.settings;
        let url = self
            .local_server_url
            .clone()
            .unwrap_or_else(|| settings.server_url.clone());

        let token = self
            .token
            .as_ref()
            .filter(|(origin, _)| *origin == url.origin())
            .map(|(_, token)| token.clone());

        CallPlan {
            server: ClientConfig {
                token,
                roots: self.launch.roots.clone(),
                ..ClientConfig::new(url)
            },
            room,
            name: Some(settings.name.trim())
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            video: self.video(),
            video_quality: self.launch.video_quality,
            camera_on: settings.camera_enabled,
            muted: settings.muted,
            audio: self.audio(),
            speaker: self.speaker(),
            processing: self.processing(),
        }
    }

    /// Ends the call, whatever is on the screen, and returns it.
    pub(super) fn end_call(&mut self) -> Option<ActiveCall> {
        let call = self.call.take()?;
        self.effects.push_back(Effect::ShowRemote(false));
        self.effects.push_back(Effect::EndCall(call.id));
        self.take_back_camera();

        if self.state.server.status != ServerStatus::Unreachable {
            self.state.server = ServerState::default();
        }

        Some(call)
    }

    /// Ends the call for the reason `code` and shows its last screen. `cause`: what is wrong with
    /// the signaling server, if that is the reason.
    pub(super) fn ended(&mut self, now: Now, code: EndCode, cause: Option<ClientErrorCode>) {
        let Some(call) = self.end_call() else { return };

        if code == EndCode::RelayUnreachable {
            self.state.server = ServerState {
                status: ServerStatus::Unreachable,
            };
        }

        let lasted = call
            .connected_at
            .map(|since| now.at.saturating_duration_since(since));

        self.state.screen = Screen::Ended {
            reason: code,
            cause,
            duration_ms: lasted.map(millis),
            room: call.room.as_ref().map(RoomText::to_string),
        };
    }

    pub(super) fn on_call_event(&mut self, now: Now, event: CallEventKind) {
        match event {
            CallEventKind::Registered | CallEventKind::SignalingBack => {
                self.set_server_status(ServerStatus::Connected);
            }
            CallEventKind::Searching => self.on_searching(now),
            CallEventKind::Matched { partner, .. } => {
                self.on_matched(now, super::partner::sanitized(&partner));
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
                    MediaPart::Camera => ProblemPlace::Camera,
                    MediaPart::Microphone => ProblemPlace::Microphone,
                    MediaPart::Speaker => ProblemPlace::Speaker,
                    MediaPart::Recording => ProblemPlace::Call,
                };

                if part == MediaPart::Camera {
                    self.set_camera_works(false);
                }

                self.device_problem(place, error);
            }
            CallEventKind::SignalingLost => self.set_server_status(ServerStatus::Unreachable),
            CallEventKind::PartnerReconnecting => {
                self.in_call(|call| call.partner_reconnecting = true);
            }
            CallEventKind::PartnerBack => self.in_call(|call| call.partner_reconnecting = false),
            CallEventKind::PartnerSignalingLost => {
                self.in_call(|call| call.partner_server_lost = true);
            }
            CallEventKind::PartnerSignalingBack => {
                self.in_call(|call| call.partner_server_lost = false);
            }
            CallEventKind::PartnerState { muted, camera_on } => {
                self.in_call(|call| {
                    (call.partner_muted, call.partner_camera_off) = (muted, !camera_on);
                });
            }
            CallEventKind::Ended {
                reason: EndReason { code, cause, .. },
            } => self.ended(now, code, cause),
        }
    }

    /// Notes whether the camera works, and shows whether the partner sees anything. `true` also for
    /// a camera that is being tried again.
    pub(super) fn set_camera_works(&mut self, works: bool) {
        if let Some(call) = &mut self.call {
            call.camera_failed = !works;
        }

        let now_sends = self.sends_video();
        if let Screen::Waiting { sends_video, .. } = &mut self.state.screen {
            *sends_video = now_sends;
        }

        self.in_call(|call| call.sends_video = now_sends);
    }

    fn set_server_status(&mut self, status: ServerStatus) {
        self.state.server = ServerState { status };
        self.in_call(|call| call.server_lost = status == ServerStatus::Unreachable);
    }

    fn on_searching(&mut self, now: Now) {
        let Some(call) = &mut self.call else { return };
        (call.slow_at, call.connected_at) = (None, None);

        if !matches!(self.state.screen, Screen::Waiting { .. }) {
            self.show_waiting(now);
            self.effects.push_back(Effect::ShowRemote(false));
        }
    }

    fn on_matched(&mut self, now: Now, partner: Partner) {
        let Some(call) = &mut self.call else { return };
        call.slow_at = Some(now.at + SLOW_CONNECTION_AFTER);
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
        (call.slow_at, call.connected_at) = (None, Some(now.at));
        let known = call.room.is_some();
        let sends_video = self.sends_video();
        let Settings {
            camera_enabled,
            muted,
            ..
        } = self.state.settings;
        self.state.screen = Screen::InCall(InCall {
            partner,
            known,
            connected_at_ms: now.unix_ms,
            route: None,
            encrypted: false,
            quality: None,
            muted,
            camera_on: camera_enabled,
            sends_video,
            partner_muted: false,
            partner_camera_off: false,
            partner_reconnecting: false,
            partner_server_lost: false,
            server_lost: self.state.server.status == ServerStatus::Unreachable,
        });
    }

    pub(super) fn on_figures(&mut self, id: CallId, figures: Figures) {
        if self.call.as_ref().is_some_and(|call| call.id == id) {
            self.in_call(|call| {
                // Keeps showing the last route while the new one is not known.
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
