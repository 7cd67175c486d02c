//! Times that differ at random.

use std::time::Duration;

/// `time` less up to a tenth, so that what began together does not stay together.
#[must_use]
pub fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 - 0.1 * fastrand::f64())
}
