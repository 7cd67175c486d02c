//! The contract as sides of other versions know it: `tests/contract/`.

macro_rules! version {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        #[expect(
            missing_docs,
            clippy::all,
            clippy::pedantic,
            clippy::allow_attributes,
            clippy::allow_attributes_without_reason,
            reason = "generated code"
        )]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), $file));
        }
    };
}

version! {
    /// Without some of what today's has.
    older, "/older/dcr.connector.v1.rs"
}

version! {
    /// With what today's does not know.
    newer, "/newer/dcr.connector.v1.rs"
}
