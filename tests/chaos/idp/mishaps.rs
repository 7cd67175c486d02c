//! What becomes of a request instead of what should: drawn from the seed, the client's name and how often it was asked
//! for, so that a seed repeats them whatever the order of the calls.

use std::time::Duration;

use fastrand::Rng;

use crate::journal::Call;

/// One mishap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// All goes well, after this time.
    Slow(Duration),
    /// The connection is cut at once; what was asked for is done after this time.
    CutThenCommit(Duration),
    /// It is done, and never answered.
    Hang,
    /// The connection is cut, and nothing done.
    CutBefore,
    /// It is done, and the connection cut.
    CutAfter,
    /// It is done, and half of the answer sent.
    HalfAnAnswer,
    /// 429 with this `Retry-After`; nothing done.
    Throttled(Option<&'static str>),
    /// It is done, and answered with 500.
    FailedAfter,
    /// 503; nothing done.
    UnavailableBefore,
    /// Somebody else has just made a client of this id, and the connection is cut.
    Squatted,
}

/// Every form that a `Retry-After` takes: seconds, a date, what is neither, and numbers beyond all sense.
const RETRY_AFTER: [Option<&str>; 8] = [
    None,
    Some("1"),
    Some("0"),
    Some("Wed, 21 Oct 2037 07:28:00 GMT"),
    Some("Wed, 21 Oct 2015 07:28:00 GMT"),
    Some("soon"),
    Some("-5"),
    Some("99999999999999999999999"),
];

/// How long a call takes when all goes well; `which` is the client's name and which call of its kind it is.
pub(crate) fn usual(seed: u64, call: Call, which: &str) -> Duration {
    let mut rng = rng(seed, "usual", call, which);
    Duration::from_millis(match call {
        Call::Create | Call::Add => rng.u64(10..400),
        Call::Get | Call::Secrets | Call::List => 0,
        _ => rng.u64(..40),
    })
}

/// Draws what becomes of a call, where `level` in a hundred go wrong.
pub(crate) fn draw(seed: u64, level: u32, call: Call, which: &str) -> Option<Mishap> {
    let mut rng = rng(seed, "mishap", call, which);
    if rng.u32(..100) >= level {
        return None;
    }
    let short = Duration::from_millis(rng.u64(20..800));
    // Half of the late ones are late by less than two seconds, the others by up to twenty.
    let late = if rng.bool() {
        Duration::from_millis(rng.u64(100..2_000))
    } else {
        Duration::from_millis(rng.u64(2_000..20_000))
    };
    let throttled = Mishap::Throttled(RETRY_AFTER[rng.usize(..RETRY_AFTER.len())]);
    let reads = matches!(call, Call::Get | Call::Secrets | Call::List);
    Some(match (rng.u32(..20), call) {
        (0, Call::Create) => Mishap::Squatted,
        (1..=3, Call::Create) => Mishap::CutThenCommit(late),
        (4..=5, Call::Create) => Mishap::Slow(late),
        (0, _) if !reads => Mishap::Slow(late),
        (6, _) if !reads => Mishap::Hang,
        (7..=9, _) if !reads => Mishap::CutAfter,
        (10..=11, _) if !reads => Mishap::FailedAfter,
        (12..=13, _) => Mishap::HalfAnAnswer,
        (14, _) => Mishap::CutBefore,
        (15..=16, _) => throttled,
        (17, _) => Mishap::UnavailableBefore,
        _ => Mishap::Slow(short),
    })
}

/// What becomes of a connector's request for an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenMishap {
    /// It is answered after this time.
    Late(Duration),
    /// 500.
    Failed,
    /// 401, although the credential is good.
    Refused,
    /// It is answered, and half of the answer sent.
    HalfAnAnswer,
}

/// Tokens are asked for seldom: so much more often than other requests one of theirs goes wrong.
const MORE_OFTEN: u32 = 3;

/// Draws what becomes of it, where `level` in a hundred other requests go wrong.
pub(crate) fn draw_of_token(seed: u64, level: u32, which: &str) -> Option<TokenMishap> {
    let mut rng = rng(seed, "mishap", Call::Token, which);
    if rng.u32(..100) >= level * MORE_OFTEN {
        return None;
    }
    Some(match rng.u32(..4) {
        0 => TokenMishap::Late(Duration::from_millis(rng.u64(500..8_000))),
        1 => TokenMishap::Failed,
        2 => TokenMishap::Refused,
        _ => TokenMishap::HalfAnAnswer,
    })
}

fn rng(seed: u64, what: &str, call: Call, which: &str) -> Rng {
    Rng::with_seed(hash(&format!("{seed}/{what}/{call:?}/{which}")))
}

/// FNV-1a: the same on every machine and in every release of Rust.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
