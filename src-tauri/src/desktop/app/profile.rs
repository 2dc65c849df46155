//! What others see of the user.

use tandem_call::Profile;

use super::{App, Effect};
use crate::desktop::command::{CommandError, CommandErrorCode};
use crate::desktop::picture::Picture;
use crate::values;

type CommandResult = Result<(), CommandError>;

impl App {
    /// The same app, with the profile picture from the file.
    #[must_use]
    pub fn with_picture(mut self, picture: Option<Picture>) -> Self {
        let url = picture.map(|picture| picture.url().to_owned());
        self.state.picture.clone_from(&url);
        self.published.picture = url;
        self
    }

    /// What the partner of a call sees of the user.
    pub(super) fn profile(&self) -> Profile {
        let settings = &self.state.settings;
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());

        Profile {
            user_name: given(&settings.name),
            user_age: settings.age,
            user_location: given(&settings.location),
            user_picture: self.state.picture.clone(),
        }
    }

    pub(super) fn set_name(&mut self, name: &str) -> CommandResult {
        let name = values::optional_name(name).map_err(|_too_long| CommandErrorCode::BadName)?;

        self.replaced.name = None;
        self.change_settings(|settings| settings.name = name)
    }

    pub(super) fn set_about(&mut self, age: Option<u8>, location: &str) -> CommandResult {
        let refused = |code| {
            move |why| CommandError {
                code,
                detail: Some(why),
            }
        };
        let age = age.map(values::age).transpose();
        let age = age.map_err(refused(CommandErrorCode::BadAge))?;
        let location = values::location(location.trim());
        let location = location.map_err(refused(CommandErrorCode::BadLocation))?;

        self.change_settings(|settings| (settings.age, settings.location) = (age, location))
    }

    pub(super) fn set_interests(&mut self, interests: &[String]) -> CommandResult {
        let interests = values::interests(interests).map_err(|why| CommandError {
            code: CommandErrorCode::BadInterests,
            detail: Some(why),
        })?;

        self.change_settings(|settings| settings.interests = interests)
    }

    pub(super) fn set_picture(&mut self, url: Option<&str>) -> CommandResult {
        let picture = match url {
            Some(url) => Some(Picture::parse(url).ok_or(CommandErrorCode::BadPicture)?),
            None => None,
        };

        let url = picture.as_ref().map(|picture| picture.url().to_owned());
        if self.state.picture != url {
            self.state.picture = url;
            self.effects
                .retain(|effect| !matches!(effect, Effect::SavePicture(_)));
            self.effects.push_back(Effect::SavePicture(picture));
        }

        Ok(())
    }
}
