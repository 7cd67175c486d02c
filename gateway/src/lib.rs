//! dcr-gateway
