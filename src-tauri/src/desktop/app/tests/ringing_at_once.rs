//! Property test: two people nearby who ring each other end up in one call, in whatever order
//! announcements, clicks and messages arrive.

use std::collections::VecDeque;
use std::net::SocketAddr;

use proptest::prelude::*;
use tandem_nearby::{NearbyChange, Neighbour, NeighbourId, Reach};

use super::*;

/// What happens next to the person of this number, 0 or 1.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Rings the other one, if there is no call yet.
    Click(usize),
    /// Hears all addresses of the other one.
    Hear(usize),
    /// Gets the next message of the connection to the own server.
    Line(usize),
    /// Gets the next message of the running call's connection.
    Call(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2_usize).prop_map(Step::Click),
        (0..2_usize).prop_map(Step::Hear),
        (0..2_usize).prop_map(Step::Line),
        (0..2_usize).prop_map(Step::Call),
    ]
}

/// One of the two, and the ring-only server in the app.
struct Person {
    world: World,
    id: NeighbourId,
    /// Over IPv4 and IPv6.
    addresses: [SocketAddr; 2],
    /// Which of them the other one sees in a ring.
    rings_from: usize,
    /// The server lets people ring.
    listens: bool,
    /// The call that rings at the other one's server, and its knock there.
    ring: Option<(CallId, KnockId)>,
    /// The call with the other one.
    matched: Option<CallId>,
    line: VecDeque<LineEvent>,
    calls: VecDeque<(CallId, CallEventKind)>,
}

impl Person {
    fn new(number: usize, id: u64, rings_from: usize) -> Self {
        let host = number + 1;
        Self {
            world: World::new(),
            id: id.into(),
            addresses: [
                format!("192.168.7.{host}:9010").parse().unwrap(),
                format!("[fe80::{host}%3]:9010").parse().unwrap(),
            ],
            rings_from,
            listens: false,
            ring: None,
            matched: None,
            line: VecDeque::new(),
            calls: VecDeque::new(),
        }
    }

    fn announced(&self, addresses: &[SocketAddr]) -> NearbyEvent {
        let neighbour = Neighbour {
            id: self.id,
            name: Some("Bea".into()),
            room: self.id.to_string(),
            addresses: addresses.to_vec(),
        };
        NearbyEvent::Changed {
            change: NearbyChange {
                people: vec![neighbour],
                reach: Reach::Heard,
            },
            addresses: Vec::new(),
        }
    }

    fn nearby(&mut self, event: NearbyEvent) {
        let line = self.world.app.nearby_line().expect("the list is open");
        self.world.input(Input::Nearby(line, event));
    }

    fn is_in_call(&self) -> bool {
        matches!(self.world.screen(), Screen::InCall(_))
    }
}

struct Two {
    people: [Person; 2],
    knocks: u32,
}

impl Two {
    /// Both have the list open, and know each other by the address of this number.
    fn new(ids: [u64; 2], known_by: [usize; 2], rings_from: [usize; 2]) -> Self {
        let people = [0, 1].map(|number| Person::new(number, ids[number], rings_from[number]));
        let mut two = Self { people, knocks: 0 };

        for number in 0..2 {
            let opened = NearbyEvent::Opened {
                id: two.people[number].id,
                server: Box::new(ClientConfig::new("ws://127.0.0.1:9010".parse().unwrap())),
                addresses: Vec::new(),
            };
            let person = &mut two.people[number];
            person.world.command(Command::OpenNearby).unwrap();
            person.nearby(opened);
            two.hear(number, &[known_by[1 - number]]);
        }

        two
    }

    /// This person hears these addresses of the other one.
    fn hear(&mut self, number: usize, which: &[usize]) {
        let other = &self.people[1 - number];
        let addresses: Vec<SocketAddr> = which.iter().map(|at| other.addresses[*at]).collect();
        let event = other.announced(&addresses);
        self.people[number].nearby(event);
        self.carry_out(number);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Click(number) => {
                let id = self.people[1 - number].id.to_string();
                // Refused when this one is in a call or rings already.
                let _ = self.people[number]
                    .world
                    .command(Command::CallNearby { id });
                self.carry_out(number);
            }
            Step::Hear(number) => self.hear(number, &[0, 1]),
            Step::Line(number) => {
                let person = &mut self.people[number];
                if let Some(event) = person.line.pop_front() {
                    let line = person.world.app.nearby_line().expect("the list is open");
                    person.world.input(Input::Line(line, event));
                    self.carry_out(number);
                }
            }
            Step::Call(number) => {
                let person = &mut self.people[number];
                if let Some((id, event)) = person.calls.pop_front() {
                    person.world.input(Input::Call(id, event));
                    self.carry_out(number);
                }
            }
        }
    }

    /// Does what this person's app asks for, as the two servers would.
    fn carry_out(&mut self, number: usize) {
        for effect in self.people[number].world.effects() {
            match effect {
                Effect::ListenNearby(wanted) => {
                    self.people[number].listens = wanted != NearbyUse::Nobody;
                }
                Effect::StartCall(call, plan) => match plan.goal {
                    CallGoal::Answer(knock) => self.answer(number, call, &knock),
                    CallGoal::Room { .. } => self.ring(number, call),
                    CallGoal::Anyone => panic!("nobody meets someone new"),
                },
                Effect::EndCall(call) => self.end(number, call),
                _ => {}
            }
        }
    }

    fn ring(&mut self, number: usize, call: CallId) {
        self.knocks += 1;
        let knock: KnockId = format!("k{}", self.knocks).as_str().into();
        let address = self.people[number].addresses[self.people[number].rings_from].ip();
        let [caller, owner] = self.pair(number);
        if !owner.listens {
            caller.calls.push_back((call, ended(EndCode::NoSuchRoom)));
            return;
        }

        caller.ring = Some((call, knock.clone()));
        owner.line.push_back(LineEvent::Knock {
            id: knock,
            room: owner.id.to_string(),
            profile: Box::new(Profile::default()),
            address: Some(address),
        });
    }

    fn answer(&mut self, number: usize, call: CallId, knock: &KnockId) {
        let [owner, caller] = self.pair(number);
        let Some((rings, _)) = caller.ring.take_if(|(_, rings)| rings == knock) else {
            owner.calls.push_back((call, ended(EndCode::PartnerLeft)));
            return;
        };

        for (person, call) in [(owner, call), (caller, rings)] {
            person.matched = Some(call);
            person.calls.push_back((call, CallEventKind::Registered));
            person.calls.push_back((call, matched()));
            person.calls.push_back((call, CallEventKind::Connected));
        }
    }

    fn end(&mut self, number: usize, call: CallId) {
        let [person, other] = self.pair(number);
        if let Some((_, id)) = person.ring.take_if(|(rings, _)| *rings == call) {
            other.line.push_back(LineEvent::KnockEnded { id });
        }

        if person.matched.take_if(|matched| *matched == call).is_some()
            && let Some(left) = other.matched.take()
        {
            other.calls.push_back((left, ended(EndCode::PartnerLeft)));
        }
    }

    /// This person and the other one.
    fn pair(&mut self, number: usize) -> [&mut Person; 2] {
        let [first, second] = &mut self.people;
        if number == 0 {
            [first, second]
        } else {
            [second, first]
        }
    }

    /// Both click, hear everything and get all their messages.
    fn settle(&mut self) {
        for number in 0..2 {
            self.run(Step::Click(number));
        }

        for number in 0..2 {
            self.run(Step::Hear(number));
        }

        while self
            .people
            .iter()
            .any(|person| !person.line.is_empty() || !person.calls.is_empty())
        {
            for number in 0..2 {
                self.run(Step::Line(number));
                self.run(Step::Call(number));
            }
        }
    }
}

proptest! {
    #[test]
    fn two_who_ring_each_other_are_in_one_call(
        smaller_is_first: bool,
        known_by in [0..2_usize, 0..2_usize],
        rings_from in [0..2_usize, 0..2_usize],
        steps in prop::collection::vec(step(), 0..16),
    ) {
        let ids = if smaller_is_first { [1, 2] } else { [2, 1] };
        let mut two = Two::new(ids, known_by, rings_from);
        for step in steps {
            two.run(step);
        }

        two.settle();
        let screens = two.people.each_ref().map(|person| person.world.screen().clone());
        prop_assert!(two.people.iter().all(Person::is_in_call), "{screens:?}");
    }
}
