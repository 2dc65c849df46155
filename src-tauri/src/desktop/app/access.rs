//! Access to private signaling servers: the token, which goes to one server only, and the
//! certificates to trust.

use tandem_signaling::ServerUrl;
use tandem_signaling::client::{BearerToken, TrustedRoots};

use super::{App, Effect};
use crate::desktop::access::{self, Access, ServerToken};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::settings::SettingsProblem;
use crate::desktop::state::{ProblemPlace, TokenState};

type CommandResult = Result<(), CommandError>;

/// The secrets that the page never gets, and the certificates to trust.
#[derive(Debug)]
pub(super) struct AppAccess {
    /// The token of the command line, for this run.
    launched: Option<ServerToken>,
    /// The token in `token.json`, for later runs too.
    saved: Option<ServerToken>,
    /// The system's certificates and those of the file in the settings.
    roots: TrustedRoots,
}

impl AppAccess {
    pub(super) fn new(saved: Access, launched: Option<ServerToken>) -> Self {
        Self {
            launched,
            saved: saved.token,
            roots: saved.roots,
        }
    }

    /// The certificates to trust when connecting to a server.
    pub(super) fn roots(&self) -> TrustedRoots {
        self.roots.clone()
    }

    /// The token for the server at `url`, if it has one.
    pub(super) fn token_for(&self, url: &ServerUrl) -> Option<BearerToken> {
        let tokens = [&self.launched, &self.saved];
        let mut tokens = tokens.into_iter().flatten();
        let found = tokens.find(|known| known.server.origin() == url.origin())?;
        Some(found.token.clone())
    }
}

impl App {
    /// The token as the page shows it: without its text.
    pub(super) fn shown_token(&self) -> Option<TokenState> {
        let chosen = self
            .state
            .settings
            .server_url
            .as_ref()
            .map(ServerUrl::origin);
        let is_for_chosen = |known: &&ServerToken| Some(known.server.origin()) == chosen;
        let AppAccess {
            launched, saved, ..
        } = &self.access;

        let shown = |known: &ServerToken, this_run_only| TokenState {
            server: known.server.authority().to_owned(),
            in_use: is_for_chosen(&known),
            this_run_only,
        };

        match (launched.as_ref().filter(is_for_chosen), saved) {
            (Some(launched), _) => Some(shown(launched, true)),
            (None, Some(saved)) => Some(shown(saved, false)),
            (None, None) => None,
        }
    }

    /// Saves a token for the user's server, in place of the one before.
    pub(super) fn set_token(&mut self, text: &str) -> CommandResult {
        let server = self.state.settings.server_url.clone();
        let server = server.ok_or(CommandErrorCode::NoServer)?;
        let token = BearerToken::new(text).map_err(|error| CommandError {
            code: CommandErrorCode::BadToken,
            detail: Some(error.to_string()),
        })?;

        if server.is_exposed() {
            return Err(CommandErrorCode::TokenExposed.into());
        }

        self.access.launched = None;
        self.access.saved = Some(ServerToken { server, token });
        self.solved(ProblemPlace::Access);
        self.save_token();
        Ok(())
    }

    /// Forgets the token that the page shows.
    pub(super) fn forget_token(&mut self) -> CommandResult {
        let shown = self.shown_token().ok_or(CommandErrorCode::NotNow)?;
        self.solved(ProblemPlace::Access);

        if shown.this_run_only {
            self.access.launched = None;
        } else {
            self.access.saved = None;
            self.save_token();
        }

        Ok(())
    }

    fn save_token(&mut self) {
        self.effects
            .retain(|effect| !matches!(effect, Effect::SaveToken(_)));
        let saved = self.access.saved.clone().map(Box::new);
        self.effects.push_back(Effect::SaveToken(saved));
    }

    /// Reads this file, and trusts its certificates once they are read. Without a path, only the
    /// system's certificates are trusted.
    pub(super) fn set_ca_file(&mut self, path: &str) -> CommandResult {
        let path = access::typed_path(path).map_err(|why| CommandError {
            code: CommandErrorCode::BadPath,
            detail: Some(why),
        })?;

        self.replaced.ca_file = None;
        self.solved(ProblemPlace::Access);
        match &path {
            Some(path) => self
                .effects
                .push_back(Effect::ReadCertificates(path.clone())),
            None => self.access.roots = TrustedRoots::default(),
        }

        self.change_settings(|settings| settings.ca_file = path)
    }

    /// The file at `path` was read. With one that cannot be used, only the system's certificates are
    /// trusted.
    pub(super) fn on_certificates(
        &mut self,
        path: &str,
        result: Result<TrustedRoots, SettingsProblem>,
    ) {
        if self.state.settings.ca_file.as_deref() != Some(path) {
            return;
        }

        self.access.roots = result.unwrap_or_else(|SettingsProblem { code, detail }| {
            self.problem(ProblemPlace::Access, code, Some(detail));
            TrustedRoots::default()
        });
    }
}
