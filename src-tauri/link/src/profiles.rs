//! Links with names, after real ones.

/// A link with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What it is called, as in `home-wifi`.
    pub name: &'static str,
    /// What it stands for, in a few words.
    pub about: &'static str,
    /// The link as a [`LinkSpec`](crate::LinkSpec). Up is away from the side that has it.
    pub spec: &'static str,
    /// Where the figures are from, and which of them are chosen.
    pub source: &'static str,
}

/// The links with names.
pub const PROFILES: [Profile; 7] = [
    Profile {
        name: "home-wifi",
        about: "Wi-Fi at home that nobody else uses, on cable",
        spec: "delay=12ms,jitter=15ms,up.rate=10M,down.rate=40M,queue=100ms,loss=0.2%,burst=3",
        source: "The jitter is from Sui et al., Characterizing and Improving WiFi Latency in \
                 Large-Scale Operational Networks (MobiSys 2016): the Wi-Fi hop of 47,000 devices \
                 takes 3 ms in the median and about 20 ms in the 90th percentile. Rates, loss and \
                 the delay of the line behind it are chosen.",
    },
    Profile {
        name: "busy-cafe",
        about: "Wi-Fi that many people share",
        spec: "delay=20ms,jitter=80ms,up.rate=1.5M,down.rate=3M,queue=250ms,loss=2%,burst=5",
        source: "The jitter is from Pei et al., WiFi Can Be the Weakest Link of Round Trip Network \
                 Latency in the Wild (INFOCOM 2016): half of the packets wait for more than 20 ms on \
                 the Wi-Fi hop, a tenth for more than 100. Rates and the bursts of loss are chosen.",
    },
    Profile {
        name: "lte-train",
        about: "LTE in a train: a handover every eleven seconds",
        spec: "delay=35ms,jitter=25ms,up.rate=3M,down.rate=8M,queue=600ms,loss=0.3%,burst=4;\
               @8s up.rate=800k,down.rate=2M;@10.6s outage=on;\
               @11s outage=off,up.rate=3M,down.rate=8M;@11.1s repeat",
        source: "After Wang et al., An Active-Passive Measurement Study of TCP Performance over LTE on \
                 High-speed Rails (MobiCom 2019), which finds frequent handovers with short outages \
                 to be what such links have in common. The figures are chosen.",
    },
    Profile {
        name: "dsl-500k",
        about: "an old DSL line",
        spec: "delay=20ms,jitter=2ms,up.rate=500k,down.rate=6M,up.queue=300ms,down.queue=150ms,loss=0.05%",
        source: "The rates are those of ADSL as it was sold (ITU-T G.992.1 allows up to 6 Mbit/s \
                 down and 640 kbit/s up); delay, queues and loss are chosen.",
    },
    Profile {
        name: "bufferbloat",
        about: "a line whose modem queues a whole second",
        spec: "delay=15ms,up.rate=1M,down.rate=8M,queue=1s",
        source: "The queue is from Wustner et al., Characterizing Bufferbloat and its Impact at \
                 End-hosts (TMA 2014): 45 of 55 users have it, with round trips of up to a second, \
                 rarely more. Rates and delay are chosen.",
    },
    Profile {
        name: "satellite",
        about: "internet over a geostationary satellite",
        spec: "delay=300ms,jitter=10ms,up.rate=3M,down.rate=25M,queue=500ms,loss=0.4%,burst=3",
        source: "The delay is from RFC 2488 §2: 240 to 280 ms to the satellite and back down, plus \
                 the ground, about 600 ms for the round trip. The rates are the FCC's mark for \
                 broadband (25 and 3 Mbit/s); queue and loss are chosen.",
    },
    Profile {
        name: "policer-512k",
        about: "a provider that drops what exceeds 512 kbit/s",
        spec: "delay=20ms,policer=512k,bucket=16KB",
        source: "After Flach et al., An Internet-Wide Analysis of Traffic Policing (SIGCOMM 2016): a \
                 token bucket without a queue, which delays nothing and loses a lot. Rate and bucket \
                 are chosen.",
    },
];

/// The profile of this name.
pub(crate) fn find(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// All names, as a list for people.
pub(crate) fn names() -> String {
    PROFILES.map(|profile| profile.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LinkSpec;

    #[test]
    fn every_profile_is_a_link_with_a_source() {
        for profile in PROFILES {
            let named: LinkSpec = profile.name.parse().expect(profile.name);
            let spelled: LinkSpec = profile.spec.parse().expect(profile.spec);
            assert_eq!(named.plan(), spelled.plan(), "{}", profile.name);
            assert!(profile.source.len() > 80, "{}", profile.name);
        }
    }
}
