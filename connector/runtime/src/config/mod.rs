//! Configuration: YAML files, judged whole, and secrets in files of their own.

mod located;
mod problem;
mod secret;
mod yaml;

pub use located::Located;
pub use problem::{Problem, Problems, unreadable};
pub use secret::read_secret_file;
pub use yaml::load;
