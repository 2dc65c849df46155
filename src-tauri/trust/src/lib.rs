//! Who is at the other end of a call.
//!
//! Media is encrypted with DTLS-SRTP, and each side knows the other's certificate by the fingerprint
//! in its description (RFC 8122 §5). The descriptions pass through the signaling server, so a
//! hostile server can replace both fingerprints and listen in. This crate notices that. It has two
//! methods, both in three moves: in the offer, in the answer, and in one candidate.
//!
//! - **The code** ([`Method::Code`]), for calls by invite. The words of the invite never leave the
//!   two machines. Both sides run CPace over them ([`cpace`]), with both fingerprints, the session's
//!   id and the side that made the invite bound in, and confirm the key to each other. A server that does not
//!   know the words has one guess out of 4,194,304 against each side of a call, so both sides count
//!   them ([`Guesses`]): 10 guesses for each code.
//! - **Safety words** ([`Method::Words`]), for all other calls. Both sides show four words that
//!   depend on both fingerprints and a nonce of each side ([`safety_words`]), for the two people to
//!   compare. The offerer commits to its nonce before it knows the other one, so a server cannot
//!   search for fingerprints that give equal words.
//!
//! [`Handshake`] is the state machine: it takes the partner's moves and random bytes, and returns
//! the moves to send and the outcome. It reads no clock and does no input or output.
//! [`Verification`] is what a call may say after that.
//!
//! ```
//! use tandem_trust::{
//!     Certificates, Code, Fingerprint, Handshake, Input, Method, Outcome, Party, Role, Session, Word,
//! };
//!
//! let words: [Word; 2] = ["garden", "lantern"].map(|word| word.parse().expect("a listed word"));
//! let method = |party| Method::Code(Code::new(7, words), party);
//! let [alice, bob] = [[1; 32], [2; 32]].map(Fingerprint::from_digest);
//! let session = |role, local| Session { id: "9d2f6c1a", role, local };
//!
//! // Real random bytes come from the system.
//! let (mut offerer, offer) =
//!     Handshake::start(method(Party::Inviter), &session(Role::Offerer, alice), [3; 32])
//!         .expect("it starts");
//! let (mut answerer, _) =
//!     Handshake::start(method(Party::Guest), &session(Role::Answerer, bob), [4; 32])
//!         .expect("it starts");
//!
//! let offer = offer.expect("the offerer moves first").message.to_json();
//! let answer = answerer.handle(&Input::Offer { pake: Some(&offer), remote: Some(alice) });
//! let answer = answer.send.expect("the second move").message.to_json();
//! let confirm = offerer.handle(&Input::Answer { pake: Some(&answer), remote: Some(bob) });
//! assert_eq!(confirm.outcome, Some(Outcome::Verified(Certificates { local: alice, remote: bob })));
//!
//! let confirm = confirm.send.expect("the third move").message.to_json();
//! let end = answerer.handle(&Input::Candidate { pake: &confirm });
//! assert_eq!(end.outcome, Some(Outcome::Verified(Certificates { local: bob, remote: alice })));
//! ```

mod code;
pub mod cpace;
mod fingerprint;
#[doc(hidden)]
pub mod fuzzing;
mod guesses;
mod handshake;
mod message;
pub mod safety_words;
mod verification;
mod words;

pub use code::{Code, Party};
pub use fingerprint::{Certificates, Fingerprint, FingerprintError};
pub use guesses::{Guesses, MAX_GUESSES};
pub use handshake::{
    Handshake, Input, MAX_SESSION_ID_BYTES, Method, Mismatch, Move, Outcome, Role, Session,
    StartError, Step,
};
pub use message::{Carrier, MAX_MESSAGE_BYTES, Message, MessageError};
pub use safety_words::SafetyWords;
pub use verification::{Badge, Requirement, Verification, WordsState};
pub use words::{UnknownWord, WORDS, Word};
