//! People on a network of the test's own, each in a window with the list of people nearby open. They
//! have no server and no other network.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::process::wait_until;
use crate::window::{Home, TEST_MEDIA, TIMEOUT};
use crate::{Network, Screen, Window};

/// Small frames, so that a slow machine keeps up.
const SMALL: [&str; 2] = ["--size", "640x360"];

/// The windows, each on a host of the network.
pub struct Neighbours {
    names: Vec<String>,
    /// They end before their network.
    windows: Vec<Window>,
    network: Network,
    screen: Screen,
}

impl Neighbours {
    /// Opens a window for each name, on the first hosts of `network`.
    ///
    /// # Errors
    /// When one does not open.
    pub fn open(network: Network, names: &[&str]) -> Result<Self> {
        let mut neighbours = Self {
            names: Vec::new(),
            windows: Vec::new(),
            network,
            screen: Screen::start()?,
        };
        for name in names {
            neighbours.join(name, Home::new()?, &TEST_MEDIA)?;
        }

        Ok(neighbours)
    }

    /// Opens a window for each name on a network of as many, and waits until they see each other.
    ///
    /// # Errors
    /// When one does not open, or does not see another.
    pub fn meet(names: &[&str]) -> Result<Self> {
        let addresses: Vec<String> = (1..=names.len())
            .map(|number| format!("192.168.7.{number}/24"))
            .collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let neighbours = Self::open(Network::with_addresses(&addresses)?, names)?;
        neighbours.see_each_other()?;

        Ok(neighbours)
    }

    /// Opens a window on the next host, with these devices.
    ///
    /// # Errors
    /// When it does not open.
    ///
    /// # Panics
    /// When there is no further host.
    pub fn join(&mut self, name: &str, home: Home, devices: &[&str]) -> Result<()> {
        let host = self.network.host(self.windows.len());
        let arguments = [devices, &SMALL, &["--name", name]].concat();
        let window = Window::open_on(host, home, &self.screen, &arguments)?;
        window.press("way-nearby")?;
        window.wait_for_state("/nearby/status", &json!("on"))?;

        self.names.push(name.to_owned());
        self.windows.push(window);
        Ok(())
    }

    /// The windows, in the order in which they were opened.
    ///
    /// # Panics
    /// When there are not this many.
    pub fn windows<const N: usize>(&self) -> [&Window; N] {
        std::array::from_fn(|number| &self.windows[number])
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Waits until each window's list shows all the others, and nobody else.
    ///
    /// # Errors
    /// When one does not.
    pub fn see_each_other(&self) -> Result<()> {
        for (window, name) in self.windows.iter().zip(&self.names) {
            let mut others: Vec<&str> = self.names.iter().map(String::as_str).collect();
            others.retain(|other| other != name);
            sees(window, &others)?;
        }

        Ok(())
    }
}

/// Waits until the list of people nearby shows these names, in any order, and nobody else.
///
/// # Errors
/// When it does not.
pub fn sees(window: &Window, names: &[&str]) -> Result<()> {
    let script = "return [...document.querySelectorAll('.nearby-people .recent-name')]
        .map((e) => e.innerText).sort();";
    let mut wanted = names.to_vec();
    wanted.sort_unstable();

    let shown = || window.run(script, &json!([])).unwrap_or_default();
    wait_until("everyone is on the list", TIMEOUT, || {
        (shown() == json!(wanted)).then_some(())
    })
    .with_context(|| format!("it shows {}, not {wanted:?}", shown()))
}

/// Rings the person with this name on the list. Not by a click: a ring that arrives at the same
/// moment moves what is to be clicked.
///
/// # Errors
/// When the list does not show the person, or the app refuses.
pub fn ring(window: &Window, name: &str) -> Result<()> {
    let state = window.state()?;
    let people = state["nearby"]["people"].as_array();
    let person = people
        .into_iter()
        .flatten()
        .find(|person| person["name"] == name)
        .with_context(|| format!("{name} is on the list: {}", state["nearby"]))?;

    let answer = window.command("callNearby", &json!({ "id": person["id"] }))?;
    ensure!(answer.is_ok(), "the app refuses to ring {name}: {answer:?}");
    Ok(())
}

/// Waits until the window shows that this person rings.
///
/// # Errors
/// When it does not.
pub fn rings(window: &Window, name: &str) -> Result<()> {
    window.wait_for_state("/incoming/name", &json!(name))?;
    window.wait_for_element(".incoming")?;
    let shown = window.text(".incoming h2")?;
    ensure!(shown == name, "{shown} rings, not {name}");
    Ok(())
}

/// Waits until the window is in a call with this person, whose video arrives.
///
/// # Errors
/// When it is not, or no video arrives.
pub fn is_in_call_with(window: &Window, name: &str) -> Result<()> {
    window.wait_for_screen("in-call")?;
    let partner = window.state()?["screen"]["partner"]["name"].clone();
    ensure!(partner == name, "the call is with {partner}, not {name}");
    window.wait_for_frames("#remote", 5)?;
    Ok(())
}

/// Waits until the call, or the attempt, has ended, and returns the code of the reason.
///
/// # Errors
/// When it has not.
pub fn end(window: &Window) -> Result<String> {
    window.wait_for_screen("ended")?;
    let reason = window.state()?["screen"]["reason"].clone();
    Value::as_str(&reason)
        .map(str::to_owned)
        .with_context(|| format!("no reason: {reason}"))
}
