//! What is going to happen, drawn from the seed: the life of each client, and what goes wrong on both hops.

use std::time::Duration;

use fastrand::Rng;

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
    /// The request arrives twice, the second time after this.
    Twice(Duration),
}

/// What becomes of one request between gateway and connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectorHop {
    /// All goes well.
    Whole,
    /// The connection is cut before the request gets through, with all that is under way on it.
    CutBefore,
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
    },
}

/// One step in the life of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Rotate,
    Add,
    Remove,
    Update,
    Register,
    Unregister,
    List,
    /// Konnect names a client that is not its own.
    Trespass,
    /// Two entities of one audience at the same time, each through another gateway.
    RegisterTwo,
    Delete,
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
    /// The client's name, by which it is known on every hop.
    pub(crate) name: String,
    /// Whether its provider has one replica alone, and two registrations that must not undo each other.
    pub(crate) alone: bool,
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
        let create = Send::draw(&mut rng, levels, true);
        let mut steps = Vec::new();
        if alone || rng.u32(..100) < 8 {
            steps.push(Step::RegisterTwo);
        } else {
            for _ in 0..rng.usize(..6) {
                steps.push(match rng.u32(..20) {
                    0..=3 => Step::Rotate,
                    4..=8 => Step::Add,
                    9..=11 => Step::Remove,
                    12..=13 => Step::Update,
                    14..=15 => Step::Register,
                    16 => Step::Unregister,
                    17 => Step::List,
                    _ => Step::Trespass,
                });
            }
            if rng.bool() {
                steps.push(Step::Delete);
            }
        }
        let mut sends = |step| {
            let resent = step == Step::Add;
            let first = Send::draw(&mut rng, levels, resent);
            (step, first, Send::draw(&mut rng, levels, false))
        };
        let steps = steps.into_iter().map(&mut sends).collect();
        let name = format!("chaos-{number:06}");
        Self {
            name,
            alone,
            create,
            steps,
        }
    }
}

impl Send {
    fn draw(rng: &mut Rng, levels: Levels, may_be_resent: bool) -> Self {
        let pause = Duration::from_millis(rng.u64(..400));
        let gateway = rng.usize(..2);
        let wrong = rng.u32(..100) < levels.konnect;
        let soon = Duration::from_micros(rng.u64(..60_000));
        let later = Duration::from_millis(rng.u64(60..3_000));
        let hop = match rng.u32(..10) {
            _ if !wrong => KonnectHop::Whole,
            0..=3 => KonnectHop::Leaves(soon),
            4 => KonnectHop::Leaves(later),
            5 => KonnectHop::HalfARequest,
            6 => KonnectHop::Swallowed,
            7 => KonnectHop::HalfAnAnswer,
            8 if may_be_resent => KonnectHop::Twice(soon),
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
    pub(crate) fn draw(seed: u64, levels: Levels, key: &str, never_twice: bool) -> Self {
        let hash = key.bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut rng = Rng::with_seed(hash);
        if rng.u32(..100) >= levels.connector {
            return Self::Whole;
        }
        match rng.u32(..10) {
            0..=1 => Self::CutBefore,
            2..=4 => Self::CutAfter,
            5 => Self::Swallowed,
            6 if never_twice => Self::Twice { second: false },
            7 if never_twice => Self::Twice { second: true },
            _ => Self::LostAnswer,
        }
    }
}
