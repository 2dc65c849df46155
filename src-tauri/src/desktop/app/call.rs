//! A search and the calls that follow from it.

use std::time::{Duration, Instant};

use tandem_call::CallEventKind;
use tandem_call::{ConnectProblem, EndCode, EndReason};
use tandem_media::error::{MediaEvent, MediaPart};
use tandem_media::video::VideoSpec;
use tandem_signaling::ServerUrl;
use tandem_signaling::client::{ClientConfig, ClientErrorCode};
use tandem_signaling::message::is_room_code;

use super::target::Target;
use super::trust::CallTrust;
use super::{App, CallId, CallPlan, Effect, Figures, LineId, Now, SLOW_CONNECTION_AFTER, partner};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::recents::Recent;
use crate::desktop::state::{
    CallerKind, ConnectingStep, InCall, Partner, ProblemPlace, Screen, ServerStatus,
};
use crate::values::RoomText;

/// The running search or call. It exists exactly while the screen is `Waiting`, `Connecting` or
/// `InCall`.
#[derive(Debug)]
pub(super) struct ActiveCall {
    pub(super) id: CallId,
    pub(super) target: Target,
    /// The signaling server.
    server: ServerUrl,
    /// The name of the partner, as far as it is known.
    partner_name: Option<String>,
    /// The two have agreed on a room to meet again.
    has_recent: bool,
    /// The user has left the partner, and the engine does not search again yet.
    pub(super) is_leaving: bool,
    /// When the connection counts as slow; `None` unless it is being made.
    pub(super) slow_at: Option<Instant>,
    /// When the present partner was connected.
    connected_at: Option<Instant>,
    /// The chosen camera failed in this call.
    pub(super) camera_failed: bool,
    /// The user answered with sound only, and has not switched the camera on since.
    pub(super) sound_only: bool,
    /// What is known about who the partner is.
    pub(super) trust: CallTrust,
}

impl ActiveCall {
    /// Why the call ended and at which server, as the user is told. If the person who invited was not
    /// found on the network either, what matters is that the server of the invite cannot be reached.
    fn told_end(&self, code: EndCode) -> (EndCode, ServerUrl) {
        match &self.target {
            Target::InviterNearby { link, .. } => {
                let is_found = code != EndCode::NoSuchRoom;
                let code = if is_found {
                    code
                } else {
                    EndCode::RelayUnreachable
                };
                (code, link.server.clone())
            }
            _ => (code, self.server.clone()),
        }
    }
}

impl App {
    /// Starts a search.
    pub(super) fn start_call(&mut self, now: Now, target: Target) -> Result<(), CommandError> {
        self.start_call_with(now, target, true)
    }

    /// Starts a search; without `video`, for a call that begins with the camera off, whatever the
    /// settings say.
    pub(super) fn start_call_with(
        &mut self,
        now: Now,
        target: Target,
        video: bool,
    ) -> Result<(), CommandError> {
        let server = self.server_for(&target)?;
        let url = server.url.clone();

        self.again = None;
        self.end_knock();
        self.stop_tone();
        let trust = self.call_trust(&target, &url);
        let line = self.lend_line(&server, &target);
        let mut plan = self.plan(server, &target, line);
        plan.code = trust.planned_code();
        plan.camera_on &= video;
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
            target,
            server: url,
            partner_name: None,
            has_recent: false,
            is_leaving: false,
            slow_at: None,
            connected_at: None,
            camera_failed: false,
            sound_only: !video,
            trust,
        });

        self.show_waiting(now);
        Ok(())
    }

    /// The server at which to search for `target`, and how to connect to it.
    ///
    /// # Errors
    /// `NO_SERVER`: it is the user's own server, and there is none.
    pub(super) fn server_for(&self, target: &Target) -> Result<ClientConfig, CommandErrorCode> {
        match target {
            Target::Room(RoomText::Link(link)) => Ok(self.server_config(link.server.clone())),
            Target::Person(recent) => Ok(self.server_config(recent.server.clone())),
            Target::Room(RoomText::Nearby(address)) | Target::InviterNearby { address, .. } => {
                Ok(ClientConfig {
                    addresses: vec![address.socket_addr()],
                    ..ClientConfig::new(address.server())
                })
            }
            Target::Nearby(neighbour) => Ok(self.nearby_server(neighbour)),
            Target::Answer {
                kind: CallerKind::Nearby,
                ..
            } => self.own_nearby_server().ok_or(CommandErrorCode::NotNow),
            _ => self.own_server().ok_or(CommandErrorCode::NoServer),
        }
    }

    /// Shows that the running search has not found anyone yet.
    fn show_waiting(&mut self, now: Now) {
        let sends_video = self.sends_video();
        let own_server = self.own_server().map(|server| server.url);
        let Some(call) = &self.call else { return };

        self.state.screen = Screen::Waiting {
            search: call.target.shown(own_server.as_ref()),
            ringing: false,
            started_at_ms: now.unix_ms,
            sends_video,
        };
    }

    /// Whether the running call has video to send, if the camera is on.
    fn sends_video(&self) -> bool {
        let call = self.call.as_ref();
        let has_none = call.is_some_and(|call| call.camera_failed || call.sound_only);
        self.video() != VideoSpec::None && !has_none
    }

    fn plan(&self, server: ClientConfig, target: &Target, line: Option<LineId>) -> CallPlan {
        let (camera_on, muted) = self.devices_for(target);

        CallPlan {
            server,
            line,
            rings_nearby: target.rings_nearby(),
            goal: target.goal(),
            code: None,
            stranger: self.stranger_plan(target),
            profile: self.profile(),
            video: self.video(),
            video_quality: self.video_quality(),
            camera_on,
            muted,
            audio: self.audio(),
            speaker: self.speaker(),
            processing: self.processing(),
        }
    }

    /// Ends the call, whatever is on the screen, and returns it.
    pub(super) fn end_call(&mut self) -> Option<ActiveCall> {
        let call = self.call.take()?;
        self.effects.push_back(Effect::ShowRemote(false));
        if call.target.is_known() {
            // Only strangers are reported.
            self.effects.push_back(Effect::ForgetFrame);
        }

        self.effects.push_back(Effect::EndCall(call.id));
        self.take_back_camera();
        self.take_back_line();

        Some(call)
    }

    /// Ends the call for the reason `code` and shows its last screen. `cause`: what is wrong with
    /// the signaling server, if that is the reason.
    pub(super) fn ended(&mut self, now: Now, code: EndCode, cause: Option<ClientErrorCode>) {
        let Some(call) = self.end_call() else { return };
        // Two who wanted each other by a code and did not get through wait for each other again.
        if code == EndCode::PartnerLeft
            && matches!(self.state.screen, Screen::Connecting { .. })
            && matches!(call.target, Target::Room(RoomText::Code(_)))
            && self.start_call(now, call.target.clone()).is_ok()
        {
            return;
        }

        // The person who invited may be on the same network. That call is by the code, too.
        if code == EndCode::RelayUnreachable
            && call.connected_at.is_none()
            && let Some(inviter) = call.target.inviter_nearby()
            && self.start_call(now, inviter).is_ok()
        {
            return;
        }

        let (code, server) = call.told_end(code);
        let again = match (call.has_recent, call.target.clone().repeated()) {
            (true, _) => self.newest_recent().map(Target::Person),
            (false, target) => {
                let was_connected = call.connected_at.is_some();
                Some(target).filter(|target| {
                    target.can_repeat(was_connected) && call.trust.can_repeat(code)
                })
            }
        };

        let lasted = call
            .connected_at
            .map(|since| now.at.saturating_duration_since(since));

        let own_server = self.own_server().map(|server| server.url);
        let asks_direct = code == EndCode::NoTurnServer
            && !call.target.is_known()
            && self.state.settings.stranger_relay;
        self.state.screen = Screen::Ended {
            reason: code,
            cause,
            problem: None,
            duration_ms: lasted.map(millis),
            mismatch: call.trust.mismatch(code),
            name: call.partner_name,
            other_server: Some(&server)
                .filter(|server| Some(*server) != own_server.as_ref())
                .map(|server| server.authority().to_owned()),
            asks_direct_at: asks_direct.then(|| server.origin()),
            again: again
                .as_ref()
                .map(|target| target.shown(own_server.as_ref())),
        };
        self.again = again;
    }

    /// Says on the last screen why no connection came up.
    fn show_problem(&mut self, found: Option<ConnectProblem>) {
        if let Screen::Ended { problem, .. } = &mut self.state.screen {
            *problem = found;
        }
    }

    pub(super) fn on_call_event(&mut self, now: Now, event: CallEventKind) {
        match event {
            CallEventKind::Registered | CallEventKind::SignalingBack => {
                self.set_server_status(ServerStatus::Connected);
            }
            CallEventKind::Searching => {
                if let Some(call) = &mut self.call {
                    call.is_leaving = false;
                }

                self.on_searching(now);
            }
            CallEventKind::Ringing(rings) => {
                if let Screen::Waiting { ringing, .. } = &mut self.state.screen {
                    *ringing = rings;
                }
            }
            CallEventKind::MeetAgain { room } => self.on_meet_again(now, room),
            CallEventKind::Matched {
                session_id,
                partner_id,
                partner,
                interests,
                ..
            } => {
                self.on_matched(now, partner::sanitized(&partner));
                self.on_stranger(session_id.into(), partner_id.into(), &interests);
            }
            CallEventKind::Reported(outcome) => self.on_reported(outcome),
            CallEventKind::Checking => {
                if let Screen::Connecting { step, .. } = &mut self.state.screen {
                    *step = ConnectingStep::Checking;
                }
            }
            CallEventKind::ConnectTrouble(found) => {
                if let Screen::Connecting { problem, .. } = &mut self.state.screen {
                    *problem = found;
                }
            }
            CallEventKind::Connected => self.on_connected(now),
            CallEventKind::FirstRemoteFrame | CallEventKind::FirstRemoteAudio => {}
            CallEventKind::Media(MediaEvent::Failed { part, error }) => {
                if part == MediaPart::Camera {
                    self.set_camera_works(false);
                }

                self.device_problem(place_of(part), error);
            }
            CallEventKind::Media(MediaEvent::Recovered { part }) => {
                if part == MediaPart::Camera {
                    self.set_camera_works(true);
                }

                self.solved(place_of(part));
            }
            CallEventKind::SignalingLost => {
                self.set_server_status(ServerStatus::Unreachable);
                self.on_answers_lost();
            }
            CallEventKind::PartnerReconnecting { until } => {
                let left = until.saturating_duration_since(now.at).as_millis();
                let until = now.unix_ms + u64::try_from(left).unwrap_or(u64::MAX - now.unix_ms);
                self.in_call(|call| call.reconnecting_until_ms = Some(until));
            }
            CallEventKind::PartnerBack => self.in_call(|call| call.reconnecting_until_ms = None),
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
            CallEventKind::Verification(state) => self.on_verification(state),
            CallEventKind::PartnerRefuses(refused) => self.in_call(|call| {
                call.partner_refuses_audio = refused.audio;
                call.partner_refuses_video = refused.video;
            }),
            CallEventKind::Ended {
                reason:
                    EndReason {
                        code,
                        cause,
                        problem,
                        ..
                    },
            } => match &self.call {
                // The partner left in the moment in which the user pressed Next: the engine has
                // ended the call instead of searching.
                Some(call) if call.is_leaving && is_about_partner(code) => {
                    let target = call.target.clone();
                    self.end_call();
                    if self.start_call(now, target).is_err() {
                        // The server was removed from the settings meanwhile.
                        self.state.screen = Screen::Lobby;
                    }
                }
                _ => {
                    self.ended(now, code, cause);
                    self.show_problem(problem);
                }
            },
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
        self.state.server.status = status;
        self.in_call(|call| call.server_lost = status == ServerStatus::Unreachable);
    }

    pub(super) fn on_searching(&mut self, now: Now) {
        let Some(call) = &mut self.call else { return };
        (call.slow_at, call.connected_at) = (None, None);

        if !matches!(self.state.screen, Screen::Waiting { .. }) {
            self.show_waiting(now);
            self.effects.push_back(Effect::ShowRemote(false));
        }
    }

    /// The two sides of the running call have agreed on a room to meet again.
    fn on_meet_again(&mut self, now: Now, room: String) {
        let Some(call) = &mut self.call else { return };
        if !call.target.is_known() || call.has_recent || !is_room_code(&room) {
            return;
        }

        // The server in an app has another address next time.
        if call.target.is_nearby() || self.local_server_url.as_ref() == Some(&call.server) {
            return;
        }

        call.has_recent = true;
        let recent = Recent {
            room,
            server: call.server.clone(),
            name: call.partner_name.clone(),
            at_ms: now.unix_ms,
        };
        let before = match &call.target {
            Target::Person(before) => Some(before.room.clone()),
            Target::Answer { room, .. } => Some(room.clone()),
            Target::Anyone
            | Target::Room(_)
            | Target::OwnRoom { .. }
            | Target::Nearby(_)
            | Target::InviterNearby { .. } => None,
        };
        self.remember(recent, before.as_deref());
    }

    fn on_matched(&mut self, now: Now, partner: Partner) {
        let Some(call) = &mut self.call else { return };
        call.partner_name.clone_from(&partner.name);
        let can_retry = call.target.can_repeat(false);
        let by_user = !matches!(call.target, Target::Answer { .. });
        call.slow_at = Some(now.at + SLOW_CONNECTION_AFTER);
        call.connected_at = None;
        call.trust.on_matched();
        self.effects.push_back(Effect::ShowRemote(true));
        let name = partner.name.clone();
        self.state.screen = Screen::Connecting {
            partner,
            step: ConnectingStep::Exchanging,
            started_at_ms: now.unix_ms,
            timed_out: false,
            can_retry,
            problem: None,
        };

        if by_user {
            self.announce_match(name);
        }
    }

    fn on_connected(&mut self, now: Now) {
        let Screen::Connecting { partner, .. } = &self.state.screen else {
            return;
        };

        let partner = partner.clone();
        let Some(call) = &mut self.call else { return };
        (call.slow_at, call.connected_at) = (None, Some(now.at));
        let known = call.target.is_known();
        let verification = call.trust.shown();
        let by_invite = matches!(call.target, Target::Answer { code: Some(_), .. });
        if by_invite {
            // It serves one call. Until here, the guest can try again.
            self.withdraw_invite();
        }

        let sound_only = self.call.as_ref().is_some_and(|call| call.sound_only);
        let sends_video = self.sends_video();
        let (camera_on, muted) = self
            .call
            .as_ref()
            .map_or((false, true), |call| self.devices_for(&call.target));
        self.state.screen = Screen::InCall(InCall {
            partner,
            known,
            connected_at_ms: now.unix_ms,
            route: None,
            encrypted: false,
            verification,
            quality: None,
            muted,
            camera_on: camera_on && !sound_only,
            sends_video,
            partner_muted: false,
            partner_camera_off: false,
            partner_refuses_audio: false,
            partner_refuses_video: false,
            reconnecting_until_ms: None,
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

/// Where a problem of this part is shown.
fn place_of(part: MediaPart) -> ProblemPlace {
    match part {
        MediaPart::Camera => ProblemPlace::Camera,
        MediaPart::Microphone => ProblemPlace::Microphone,
        MediaPart::Speaker => ProblemPlace::Speaker,
        MediaPart::Recording => ProblemPlace::Call,
    }
}

/// Whether a call with another partner can still be had.
fn is_about_partner(code: EndCode) -> bool {
    matches!(
        code,
        EndCode::PartnerLeft
            | EndCode::PartnerVanished
            | EndCode::PartnerMisbehaved
            | EndCode::ConnectTimeout
            | EndCode::ConnectionFailed
            | EndCode::BadDescription
            | EndCode::NoCommonCodec
            | EndCode::CodeMismatch
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
