//! The one HTTP client to IdPs.
//!
//! It keeps to one origin, follows no redirect, decompresses nothing, reads at most 1 MiB of an answer, and ends every
//! call by its deadline. It gets the admin token once for all concurrent callers, renews it before it expires and
//! once more when the IdP refuses it. Every failure is a [`Fault`](crate::Fault) with its `Outcome`: reads differ from changes.

mod answer;
mod clear;
mod client;
mod observe;
mod origin;
mod token;
mod wait;

pub use answer::Answer;
pub use clear::in_clear;
pub use client::{Client, Effect, Request};
pub use http::{Method, StatusCode};
pub(crate) use observe::register;
pub use origin::BaseUrl;
pub(crate) use token::Tokens;
pub use token::{ClientAuthMethod, ClientCredentials, TokenEndpoint};

/// The most that is read of an answer.
pub(crate) const LARGEST_ANSWER: usize = 1024 * 1024;
