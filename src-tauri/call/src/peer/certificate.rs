//! The certificates of a connection: this side's, which each connection makes anew, and the one that
//! DTLS has accepted from the partner.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it asks a live connection for its statistics"
)]

use std::time::Instant;

use rtc::crypto::{self, SignatureScheme};
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use tandem_trust::{Certificates, Fingerprint};
use webrtc::error::Error;
use webrtc::peer_connection::{PeerConnection, RTCStatsReportEntry, StatsSelector};

use super::error::{PeerError, could_not};

/// Makes a certificate as the library would (ECDSA with P-256), so that its fingerprint is known
/// before the first description.
pub(super) fn generate() -> Result<(RTCCertificate, Fingerprint), PeerError> {
    let provider = crypto::default_provider()
        .map_err(|error| could_not("make a certificate")(Error::Other(error.to_string())))?;
    let crypto = provider.crypto();
    let name = format!("{:016x}", rand::random::<u64>());
    let params = CertificateParams::new(vec![name])
        .map_err(|error| could_not("make a certificate")(Error::Other(error.to_string())))?;
    let certificate = RTCCertificate::generate(crypto, SignatureScheme::EcdsaP256Sha256, params)
        .map_err(could_not("make a certificate"))?;
    let fingerprints = certificate
        .get_fingerprints(crypto)
        .map_err(could_not("make a certificate"))?;
    let fingerprint = fingerprints
        .first()
        .and_then(|one| read(&one.algorithm, &one.value))
        .expect("a certificate has a SHA-256 fingerprint");

    Ok((certificate, fingerprint))
}

/// The certificates that DTLS uses. `None` before its handshake is done.
pub(super) async fn used(connection: &dyn PeerConnection) -> Option<Certificates> {
    let report = connection
        .get_stats(Instant::now(), StatsSelector::None)
        .await;
    let (local, remote) = report.iter().find_map(|entry| match entry {
        RTCStatsReportEntry::Transport(transport) => Some((
            &transport.local_certificate_id,
            &transport.remote_certificate_id,
        )),
        _ => None,
    })?;
    let named = |id: &String| {
        report.iter().find_map(|entry| match entry {
            RTCStatsReportEntry::Certificate(one) if one.stats.id == *id => {
                read(&one.fingerprint_algorithm, &one.fingerprint)
            }
            _ => None,
        })
    };

    Some(Certificates {
        local: named(local)?,
        remote: named(remote)?,
    })
}

fn read(algorithm: &str, digest: &str) -> Option<Fingerprint> {
    format!("{algorithm} {digest}").parse().ok()
}
