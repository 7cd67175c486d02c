//! What is going to happen, drawn from the seed: the life of each client, and what goes wrong on both hops.

use std::time::Duration;

use fastrand::Rng;

use crate::foreign::Kind;
use crate::mishaps::hash;

/// What becomes of one exchange between Konnect and a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KonnectHop {
    /// All goes well.
    Whole,
    /// Konnect goes away after this time.
    Leaves(Duration),
    /// The connection is cut in the middle of the request.
    HalfARequest,
    /// The request never arrives.
    Swallowed,
    /// The answer leaves the gateway whole, and half of it arrives.
    HalfAnAnswer,
    /// The answer leaves the gateway whole and never arrives.
    LostAnswer,
    /// Konnect's end of the connection is reset after this time: before anything can have been made.
    Reset(Duration),
    /// The request arrives twice, the second time after this.
    Twice(Duration),
}

impl KonnectHop {
    /// What goes wrong, for a table.
    pub(crate) fn mishap(self) -> Option<&'static str> {
        Some(match self {
            Self::Whole => return None,
            Self::Leaves(_) => "Konnect leaves",
            Self::HalfARequest => "half a request",
            Self::Swallowed => "lost",
            Self::HalfAnAnswer => "half an answer",
            Self::LostAnswer => "answer lost",
            Self::Reset(_) => "reset",
            Self::Twice(_) => "sent twice",
        })
    }
}

/// What becomes of one request between gateway and connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectorHop {
    /// All goes well.
    Whole,
    /// The connection is cut before the request gets through, with all that is under way on it.
    CutBefore,
    /// The same by a reset, without a word of TLS.
    Reset,
    /// The connection is cut when the answer comes.
    CutAfter,
    /// The request disappears.
    Swallowed,
    /// The request gets through, and its answer disappears.
    LostAnswer,
    /// The request gets through twice; the first or the second answer arrives.
    Twice {
        /// Which of the two.
        second: bool,
        /// Whether the second goes to another replica.
        other: bool,
    },
}

/// One step in the life of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Rotate,
    Add,
    Remove,
    Update,
    /// An entity of this audience.
    Register(&'static str),
    Unregister,
    List,
    /// Konnect names a client that is not the provider's.
    Trespass(Trespass),
    /// Two entities of one audience at the same time, each through another gateway.
    RegisterTwo,
    Delete,
}

/// What is asked of a client that is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trespass {
    /// A foreign client of this kind; none: the story's own, by the key of the other provider.
    pub(crate) kind: Option<Kind>,
    pub(crate) call: Trespassing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trespassing {
    Delete,
    Rotate,
    Add,
    List,
}

/// One request: after which pause, through which gateway, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Send {
    pub(crate) pause: Duration,
    pub(crate) gateway: usize,
    pub(crate) hop: KonnectHop,
}

/// One client's life.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) number: u64,
    /// The client's name, by which it is known on every hop.
    pub(crate) name: String,
    /// Whether its provider has one replica alone, and two registrations that must not undo each other.
    pub(crate) alone: bool,
    /// Whether it is Konnect's Verify: what it makes is a probe.
    pub(crate) verify: bool,
    pub(crate) create: Send,
    pub(crate) steps: Vec<(Step, Send, Send)>,
}

/// How often things go wrong on the hops, in a hundred.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Levels {
    pub(crate) konnect: u32,
    pub(crate) connector: u32,
}

impl Story {
    pub(crate) fn draw(seed: u64, number: u64, levels: Levels) -> Self {
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let alone = rng.u32(..100) < 8;
        let verify = !alone && rng.u32(..100) < 6;
        let create = Send::draw(&mut rng, levels, true);
        let mut steps = Vec::new();
        if alone || rng.u32(..100) < 12 {
            steps.push(Step::RegisterTwo);
            // What one registration has undone of another, a third change would heal.
            if !alone && rng.bool() {
                steps.push(Step::Unregister);
            }
        } else if !verify {
            for _ in 0..rng.usize(..6) {
                steps.push(Step::draw(&mut rng));
            }
        }
        if !alone && rng.bool() {
            steps.push(Step::Delete);
        }
        let mut sends = |step| {
            // A rotation that arrives twice is made twice, and either may be the last.
            let resent = step != Step::Rotate;
            let first = Send::draw(&mut rng, levels, resent);
            (step, first, Send::draw(&mut rng, levels, false))
        };
        let steps = steps.into_iter().map(&mut sends).collect();
        let name = format!("chaos-{number:06}");
        Self {
            number,
            name,
            alone,
            verify,
            create,
            steps,
        }
    }
}

impl Step {
    fn draw(rng: &mut Rng) -> Self {
        match rng.u32(..20) {
            0..=3 => Self::Rotate,
            4..=7 => Self::Add,
            8..=9 => Self::Remove,
            10..=11 => Self::Update,
            12..=14 => Self::Register(if rng.bool() { "a" } else { "b" }),
            15..=16 => Self::Unregister,
            17 => Self::List,
            _ => Self::Trespass(Trespass {
                kind: Kind::ALL.get(rng.usize(..Kind::ALL.len() + 2)).copied(),
                call: match rng.u32(..4) {
                    0 => Trespassing::Delete,
                    1 => Trespassing::Rotate,
                    2 => Trespassing::Add,
                    _ => Trespassing::List,
                },
            }),
        }
    }
}

impl Send {
    fn draw(rng: &mut Rng, levels: Levels, may_be_resent: bool) -> Self {
        let pause = Duration::from_millis(rng.u64(..400));
        let gateway = rng.usize(..2);
        let wrong = rng.u32(..100) < levels.konnect;
        let at_once = Duration::from_micros(rng.u64(..8_000));
        let soon = Duration::from_micros(rng.u64(..60_000));
        let later = Duration::from_millis(rng.u64(60..3_000));
        let hop = match rng.u32(..12) {
            _ if !wrong => KonnectHop::Whole,
            0..=3 => KonnectHop::Leaves(soon),
            4 => KonnectHop::Leaves(later),
            5 => KonnectHop::HalfARequest,
            6 => KonnectHop::Swallowed,
            7 => KonnectHop::HalfAnAnswer,
            8 => KonnectHop::Reset(at_once),
            9..=10 if may_be_resent => KonnectHop::Twice(soon),
            _ => KonnectHop::LostAnswer,
        };
        Self {
            pause,
            gateway,
            hop,
        }
    }
}

impl ConnectorHop {
    /// Draws for the request of this name; a name that comes again has another number.
    pub(crate) fn draw(seed: u64, levels: Levels, name: &str, rpc: &str) -> Self {
        let mut rng = Rng::with_seed(hash(&format!("{seed}/{name}")));
        if rng.u32(..100) >= levels.connector {
            return Self::Whole;
        }
        let twice = Self::Twice {
            second: rng.bool(),
            // A rotation that gets through to two replicas is made twice: neither knows of the other's.
            other: rng.bool() && rpc != "RotateClientSecret",
        };
        match rng.u32(..14) {
            0..=1 => Self::CutBefore,
            2..=3 => Self::Reset,
            4..=5 => Self::CutAfter,
            6..=7 => Self::Swallowed,
            8..=11 => twice,
            _ => Self::LostAnswer,
        }
    }

    /// What goes wrong, for a table.
    pub(crate) fn mishap(self) -> Option<&'static str> {
        Some(match self {
            Self::Whole => return None,
            Self::CutBefore => "cut before it got through",
            Self::Reset => "reset before it got through",
            Self::CutAfter => "cut when the answer came",
            Self::Swallowed => "lost",
            Self::LostAnswer => "answer lost",
            Self::Twice { other: false, .. } => "sent twice to one replica",
            Self::Twice { other: true, .. } => "sent twice, to both replicas",
        })
    }
}
