//! dcr-tests
