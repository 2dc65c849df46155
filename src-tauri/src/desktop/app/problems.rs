//! What is wrong now. A place shows one problem; a newer one takes its place.

use tandem_media::DeviceError;

use super::App;
use crate::desktop::state::{Place, Problem};

impl App {
    pub(super) fn problem(&mut self, place: Place, code: &str, detail: Option<String>) {
        let same = |problem: &Problem| {
            problem.place == place && problem.code == code && problem.detail == detail
        };

        if self.state.problems.iter().any(same) {
            return;
        }

        self.solved(place);
        let id = self.next_id();
        self.state.problems.push(Problem {
            id,
            code: code.to_owned(),
            place,
            detail,
        });
    }

    pub(super) fn problem_of_device(&mut self, place: Place, error: DeviceError) {
        self.problem(place, error.code.as_str(), Some(error.message));
    }

    /// Nothing is wrong there any more.
    pub(super) fn solved(&mut self, place: Place) {
        self.state.problems.retain(|problem| problem.place != place);
    }
}
