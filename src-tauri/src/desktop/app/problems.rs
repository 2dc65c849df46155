//! What is wrong now. Each place shows one problem, the newest.

use tandem_media::DeviceError;

use super::App;
use crate::desktop::state::{Problem, ProblemPlace};
use crate::error_code::ErrorCode;

impl App {
    /// Shows a problem in `place`. The same problem again keeps its id, so that the page does not
    /// announce it twice.
    pub(super) fn problem(
        &mut self,
        place: ProblemPlace,
        code: impl Into<ErrorCode>,
        detail: Option<String>,
    ) {
        let code = code.into();
        let is_same = |problem: &Problem| {
            problem.place == place && problem.code == code && problem.detail == detail
        };

        if self.state.problems.iter().any(is_same) {
            return;
        }

        self.solved(place);
        let id = self.next_id();
        self.state.problems.push(Problem {
            id,
            code,
            place,
            detail,
        });
    }

    /// Shows the failure of a device.
    pub(super) fn device_problem(&mut self, place: ProblemPlace, error: DeviceError) {
        self.problem(place, error.code, Some(error.message));
    }

    /// Removes the problem of `place`.
    pub(super) fn solved(&mut self, place: ProblemPlace) {
        self.state.problems.retain(|problem| problem.place != place);
    }
}
