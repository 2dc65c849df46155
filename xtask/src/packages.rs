//! The system's package manager, used without asking questions.

use anyhow::{Result, bail};

use crate::needs::Need;
use crate::shell::{Shell, which};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Brew,
    Winget,
}

/// Whether this process may install packages.
enum Permission {
    /// It is root, or the package manager needs no root.
    Granted,
    /// Through a `sudo` that needs no password.
    Sudo,
    Denied,
}

impl Manager {
    /// The package manager of this machine.
    pub(crate) fn detect() -> Option<Self> {
        let known = [
            ("apt-get", Self::Apt),
            ("dnf", Self::Dnf),
            ("brew", Self::Brew),
            ("winget", Self::Winget),
        ];

        known
            .into_iter()
            .find(|(program, _)| which(program).is_some())
            .map(|(_, manager)| manager)
    }

    fn package(self, need: &Need) -> &'static str {
        match self {
            Self::Apt => need.apt,
            Self::Dnf => need.dnf,
            Self::Brew => need.brew,
            Self::Winget => need.winget,
        }
    }

    /// The packages that bring `needs`, each of them once.
    pub(crate) fn packages(self, needs: &[&Need]) -> Vec<&'static str> {
        let mut packages = Vec::new();
        for need in needs {
            let package = self.package(need);
            if !package.is_empty() && !packages.contains(&package) {
                packages.push(package);
            }
        }

        packages
    }

    /// The commands that install `packages`, without `sudo`.
    fn commands(self, packages: &[&str]) -> Vec<Vec<String>> {
        let with = |words: &[&str]| {
            words
                .iter()
                .chain(packages)
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };

        let update = ["apt-get", "update", "-q"].map(String::from).to_vec();
        match self {
            Self::Apt => vec![
                update,
                with(&["apt-get", "install", "-y", "-q", "--no-install-recommends"]),
            ],
            Self::Dnf => vec![with(&["dnf", "install", "-y"])],
            Self::Brew => vec![with(&["brew", "install"])],
            Self::Winget => packages
                .iter()
                .map(|package| {
                    let options = ["--accept-source-agreements", "--accept-package-agreements"];
                    ["winget", "install", "--exact", "--id", package]
                        .iter()
                        .chain(&options)
                        .map(ToString::to_string)
                        .collect()
                })
                .collect(),
        }
    }

    fn permission(self) -> Permission {
        if matches!(self, Self::Brew | Self::Winget) {
            return Permission::Granted;
        }

        if Shell::new("id", ["-u"])
            .output()
            .is_ok_and(|id| id.trim() == "0")
        {
            return Permission::Granted;
        }

        if Shell::new("sudo", ["-n", "true"]).succeeds() {
            Permission::Sudo
        } else {
            Permission::Denied
        }
    }

    /// The command line that installs `packages`, for a person to run.
    pub(crate) fn line(self, packages: &[&str]) -> String {
        let sudo = if matches!(self, Self::Apt | Self::Dnf) {
            "sudo "
        } else {
            ""
        };

        let lines: Vec<String> = self
            .commands(packages)
            .iter()
            .map(|words| format!("{sudo}{}", words.join(" ")))
            .collect();
        lines.join(" && ")
    }

    /// Installs `packages`, showing the package manager's output.
    ///
    /// # Errors
    /// When that needs a password, or the package manager fails. The message has the command to
    /// run.
    pub(crate) fn install(self, packages: &[&str]) -> Result<()> {
        let prefix: &[&str] = match self.permission() {
            Permission::Granted => &[],
            Permission::Sudo => &["sudo", "-n", "--preserve-env=DEBIAN_FRONTEND"],
            Permission::Denied => bail!(
                "installing packages needs administrator rights; run this, then try again:\n\n    {}\n",
                self.line(packages)
            ),
        };

        for words in self.commands(packages) {
            let words: Vec<&str> = prefix
                .iter()
                .copied()
                .chain(words.iter().map(String::as_str))
                .collect();
            let (program, arguments) = words.split_first().expect("a command has a program");
            let status = Shell::new(program, arguments)
                .env("DEBIAN_FRONTEND", "noninteractive")
                .status()?;
            let is_update = arguments.contains(&"update");

            if !status.success() && !is_update {
                bail!(
                    "the package manager failed ({status}); it should have run:\n\n    {}\n",
                    self.line(packages)
                );
            }
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needs::BUILD;

    #[test]
    fn a_package_that_meets_two_needs_is_installed_once() {
        let needs: Vec<&Need> = BUILD.iter().collect();
        let packages = Manager::Winget.packages(&needs);
        let compilers = packages
            .iter()
            .filter(|name| name.contains("BuildTools"))
            .count();

        assert_eq!(
            compilers, 1,
            "one package brings both compilers on Windows: {packages:?}"
        );
    }

    #[test]
    fn the_command_line_for_a_person_is_complete() {
        let line = Manager::Apt.line(&["cmake", "nasm"]);
        assert!(
            line.starts_with("sudo apt-get update"),
            "a fresh system has no package lists yet: {line}"
        );

        assert!(
            line.ends_with("cmake nasm"),
            "every package is named: {line}"
        );
    }
}
