//! The audio engine of a call, and the gate through which its audio leaves.

use std::sync::Arc;

use tandem_media::audio::{AudioConfig, AudioEngine, AudioSource, OutgoingAudio};
use tandem_media::error::MediaEvents;
use tokio::task::spawn_blocking;

use super::audio_bridge::AudioGate;

/// The audio engine of a call, with all its partners.
pub(super) struct LocalAudio {
    /// What is sent now.
    source: AudioSource,
    gate: AudioGate,
    /// `None` at the end.
    engine: Option<Arc<AudioEngine>>,
}

impl LocalAudio {
    /// Starts the engine with the gate closed.
    pub(super) fn start(config: AudioConfig, events: MediaEvents) -> Self {
        let (gate, source) = (AudioGate::default(), config.source.clone());
        let open_gate = gate.clone();
        let outgoing = move |audio: OutgoingAudio<'_>| open_gate.send(audio);
        let engine = AudioEngine::start(config, Box::new(outgoing), events);

        Self {
            source,
            gate,
            engine: Some(Arc::new(engine)),
        }
    }

    /// Whether there is anything to send.
    pub(super) fn has_source(&self) -> bool {
        self.source != AudioSource::None
    }

    /// Sends another source.
    pub(super) fn set_source(&mut self, source: AudioSource) {
        self.source = source.clone();
        self.with_engine(|engine| engine.set_source(source));
    }

    pub(super) fn engine(&self) -> Option<&Arc<AudioEngine>> {
        self.engine.as_ref()
    }

    pub(super) fn gate(&self) -> &AudioGate {
        &self.gate
    }

    /// Does something to the running engine.
    pub(super) fn with_engine(&self, act: impl FnOnce(&AudioEngine)) {
        if let Some(engine) = &self.engine {
            act(engine);
        }
    }

    /// Forgets the partner. The devices stay open: a headset that closed and opened again would
    /// change its profile twice, which takes a second or more and is heard.
    pub(super) async fn next_partner(&mut self) {
        let Some(engine) = self.engine.clone() else {
            return;
        };

        if spawn_blocking(move || engine.next_partner()).await.is_err() {
            tracing::error!("the audio engine panicked: the next partner hears nothing");
        }
    }

    /// Ends the engine and waits for it: its devices are free afterwards.
    pub(super) async fn close(&mut self) {
        let engine = self.engine.take();

        if spawn_blocking(move || drop(engine)).await.is_err() {
            tracing::error!("the audio engine panicked while closing: its devices may stay in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_partner_gets_the_same_engine_on_the_same_devices() {
        let mut audio = LocalAudio::start(AudioConfig::default(), Arc::new(|_| {}));
        let before = Arc::clone(audio.engine().unwrap());
        audio.next_partner().await;

        assert!(
            Arc::ptr_eq(&before, audio.engine().unwrap()),
            "a new engine would close the devices and open them again"
        );
    }
}
