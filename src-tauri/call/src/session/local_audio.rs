//! The audio engine of a call, and the gate through which its audio leaves.

use std::sync::Arc;

use tandem_media::audio::{AudioConfig, AudioEngine, OutgoingAudio};
use tandem_media::error::MediaEvents;
use tokio::task::spawn_blocking;

use super::audio_bridge::AudioGate;

/// The audio engine of a call: one per partner, on the same devices.
pub(super) struct LocalAudio {
    /// What the next engine starts with: follows every change of device or processing.
    pub(super) config: AudioConfig,
    events: MediaEvents,
    gate: AudioGate,
    /// `None` only while it is being restarted, and at the end.
    engine: Option<Arc<AudioEngine>>,
}

impl LocalAudio {
    /// Starts the engine with the gate closed.
    pub(super) fn start(config: AudioConfig, events: MediaEvents) -> Self {
        let mut audio = Self {
            config,
            events,
            gate: AudioGate::default(),
            engine: None,
        };

        audio.start_engine();
        audio
    }

    fn start_engine(&mut self) -> Arc<AudioEngine> {
        let gate = self.gate.clone();
        let outgoing = move |audio: OutgoingAudio<'_>| gate.send(audio);
        let engine = Arc::new(AudioEngine::start(
            self.config.clone(),
            Box::new(outgoing),
            Arc::clone(&self.events),
        ));

        self.engine = Some(Arc::clone(&engine));
        engine
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

    /// Replaces the engine by a fresh one, after the old one has released its devices.
    pub(super) async fn restart(&mut self, muted: bool) {
        self.close().await;
        self.start_engine().set_muted(muted);
    }

    /// Ends the engine and waits for it: its devices are free afterwards.
    pub(super) async fn close(&mut self) {
        let engine = self.engine.take();

        if spawn_blocking(move || drop(engine)).await.is_err() {
            tracing::error!("the audio engine panicked while closing: its devices may stay in use");
        }
    }
}
