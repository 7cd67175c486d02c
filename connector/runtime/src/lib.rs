//! dcr-runtime
