//! Whatever comes, in whatever order.

use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Allocate(u8, u8),
    /// By a user who is in this call.
    AllocateInCall(u8, u8),
    Refresh(u8, u8, u32),
    Bind(u8, u8, u16, u8),
    Send(u8, u16, usize),
    Peer(u8, u8),
    /// A valid request with one byte changed, or cut off.
    Damaged(u8, usize, u8, bool),
    Raw(Vec<u8>),
    /// A call, or a user, is over.
    Revoke(bool, u8),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..6, 0u8..3).prop_map(|(host, user)| Step::Allocate(host, user)),
        (0u8..6, 0u8..3).prop_map(|(host, call)| Step::AllocateInCall(host, call)),
        (
            0u8..6,
            0u8..3,
            prop_oneof![Just(0), Just(600), any::<u32>()]
        )
            .prop_map(|(host, user, time)| Step::Refresh(host, user, time)),
        (0u8..6, 0u8..3, 0x3FFEu16..0x4004, 0u8..6)
            .prop_map(|(host, user, channel, peer)| Step::Bind(host, user, channel, peer)),
        (0u8..6, 0x3FFEu16..0x4004, 0usize..1500)
            .prop_map(|(host, channel, length)| Step::Send(host, channel, length)),
        (0u8..6, 0u8..6).prop_map(|(relay, peer)| Step::Peer(relay, peer)),
        (0u8..6, 0usize..200, any::<u8>(), any::<bool>())
            .prop_map(|(host, at, to, cut)| Step::Damaged(host, at, to, cut)),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Raw),
        (any::<bool>(), 0u8..3).prop_map(|(is_user, id)| Step::Revoke(is_user, id)),
        (0u64..400).prop_map(Step::Wait),
    ]
}

fn host(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 5000))
}

/// Even ones are peers outside, odd ones the relayed addresses of this server.
fn peer(rig: &Rig, n: u8) -> SocketAddr {
    let open = rig.ports.open.iter().nth(usize::from(n / 2));
    match open {
        Some((false, port)) if n % 2 == 1 => SocketAddr::new(RELAYED, *port),
        _ => SocketAddr::from(([8, 8, 8, n], 7000)),
    }
}

fn perform(rig: &mut Rig, step: Step) {
    match step {
        Step::Allocate(from, user) => {
            rig.request(
                host(from),
                &user.to_string(),
                Method::Allocate,
                &[TRANSPORT_UDP],
            );
        }
        Step::AllocateInCall(from, call) => {
            let user = format!("{call}:{call}");
            rig.request(host(from), &user, Method::Allocate, &[TRANSPORT_UDP]);
        }
        Step::Revoke(is_user, id) => {
            let id = id.to_string().into();
            let revocation = if is_user {
                Revocation::User(id)
            } else {
                Revocation::Session(id)
            };
            rig.server.revoke(&[revocation], rig.now, &mut rig.ports);
        }
        Step::Refresh(from, user, time) => {
            let lifetime = (attribute::LIFETIME, &time.to_be_bytes()[..]);
            rig.request(host(from), &user.to_string(), Method::Refresh, &[lifetime]);
        }
        Step::Bind(from, user, channel, to) => {
            let to = peer(rig, to);
            rig.bind(host(from), &user.to_string(), channel, to);
        }
        Step::Send(from, channel, length) => {
            rig.send(host(from), channel, &vec![0; length]);
        }
        Step::Peer(relay, from) => {
            let from = peer(rig, from);
            if let Some((_, port)) = rig.ports.open.iter().nth(usize::from(relay)).copied() {
                rig.peer_sends(SocketAddr::new(RELAYED, port), from, b"data");
            }
        }
        Step::Damaged(from, at, to, cut) => {
            let mut bytes = rig.signed(host(from), "0", Method::Allocate, &[TRANSPORT_UDP]);
            let at = at % bytes.len();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] = to;
            }
            rig.raw(host(from), &bytes);
        }
        Step::Raw(bytes) => {
            rig.raw(host(0), &bytes);
        }
        Step::Wait(seconds) => {
            rig.wait(seconds);
            rig.tick();
        }
    }
}

proptest! {
    #[test]
    fn tables_ports_and_quotas_agree_after_every_step(steps in prop::collection::vec(step(), 0..80)) {
        let mut rig = Rig::with(QUOTAS, 50_000..=50_019);
        for step in steps {
            perform(&mut rig, step);

            let open = rig.server.allocations.len();
            prop_assert_eq!(rig.server.by_client.len(), open);
            prop_assert_eq!(rig.server.by_relay.len(), open);
            prop_assert_eq!(rig.ports.open.len(), open);
            prop_assert_eq!(rig.server.usage.counts().2 as usize, open);
            prop_assert!(open <= QUOTAS.total as usize);
            for (id, allocation) in &rig.server.allocations {
                prop_assert_eq!(rig.server.by_client[&allocation.client], id);
                prop_assert_eq!(rig.server.by_relay[&allocation.relay], id);
                let key = rig.server.revoked.key(&allocation.username);
                prop_assert_eq!(allocation.name, key);
                let is_over = rig.server.revoked.contains(key);
                let is_ending = allocation.expires <= rig.now + FAREWELL;
                prop_assert!(!is_over || is_ending, "what is over ends");
                prop_assert!(!rig.server.revoked.contains_user(key), "at once if it is a user");
            }
        }

        rig.wait(4000);
        rig.tick();
        prop_assert!(rig.ports.open.is_empty(), "nobody refreshes any more");
        prop_assert_eq!(rig.server.usage.counts(), (0, 0, 0));
    }
}
