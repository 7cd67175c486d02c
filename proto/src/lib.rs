//! The wire between the gateway and a connector, generated from `dcr/connector/v1/connector.proto`.
//!
//! Nothing here knows what the messages mean: `dcr-contract` does, and is the only product crate that may
//! depend on this one.

/// `dcr.connector.v1`, as generated; the comments of the `.proto` file are its documentation.
#[expect(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("dcr.connector.v1");

    /// Prints no value, so that no message that holds a secret can print one.
    impl std::fmt::Debug for Secret {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Secret(redacted)")
        }
    }
}
