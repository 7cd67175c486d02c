//! dcr-connector
