//! The bodies that Konnect sends.

use serde_json::{Value, json};

/// The body of a create as Konnect sends it, every member present.
#[must_use]
pub fn application(name: &str) -> Value {
    json!({
        "client_name": name,
        "redirect_uris": ["https://ferry.example/cb"],
        "grant_types": ["client_credentials", "bearer"],
        "scopes": [],
        "token_endpoint_auth_method": "client_secret_post",
        "application_description": "",
        "portal_id": "0b7c2f0e-2a39-4f0b-9a57-6f5d5a3c1e11",
        "organization_id": "5c0a6a54-6d5c-4d7e-8f0f-0a6d6f1b2c22",
        "developer_id": "d9f1b8aa-1f5e-4a43-9be4-7f0c9f3e3d33",
        "auth_strategy_id": "7f0d9c61-40a4-4c0f-8a0e-2b9e5b7a4e44",
        "dcr_provider_id": "e2b4d7f3-93d6-4d7b-b1a5-8c1f6a9d5f55",
    })
}

/// The body of Verify's create; the two ids are what Konnect was seen to send.
#[must_use]
pub fn verify() -> Value {
    json!({
        "client_name": "probe",
        "redirect_uris": [],
        "grant_types": [],
        "scopes": [],
        "token_endpoint_auth_method": "client_secret_post",
        "application_description": "",
        "portal_id": "test portal_id",
        "organization_id": "5c0a6a54-6d5c-4d7e-8f0f-0a6d6f1b2c22",
    })
}

/// The members that every event has, and those of this one.
#[must_use]
pub fn event(event_type: &str, client_id: &str, members: &Value) -> Value {
    let mut event = json!({
        "event_type": event_type,
        "client_id": client_id,
        "application_id": "a1f6c0de-8a53-4d4c-bf07-3c2b1a0e6f66",
        "application_name": "ferry-timetable-prod",
        "application_description": "",
        "portal_id": "0b7c2f0e-2a39-4f0b-9a57-6f5d5a3c1e11",
        "organization_id": "5c0a6a54-6d5c-4d7e-8f0f-0a6d6f1b2c22",
        "developer_id": "d9f1b8aa-1f5e-4a43-9be4-7f0c9f3e3d33",
        "auth_strategy_id": "7f0d9c61-40a4-4c0f-8a0e-2b9e5b7a4e44",
        "dcr_provider_id": "e2b4d7f3-93d6-4d7b-b1a5-8c1f6a9d5f55",
    });
    merge(&mut event, members);
    event
}

/// Sets members of an object; null removes one (RFC 7396, one level deep).
#[track_caller]
pub fn merge(object: &mut Value, members: &Value) {
    let object = object.as_object_mut().expect("an object");
    for (name, value) in members.as_object().expect("an object") {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
}

/// Sets members of an object, to null too.
#[track_caller]
pub fn set(object: &mut Value, members: &Value) {
    let object = object.as_object_mut().expect("an object");
    let members = members.as_object().expect("an object");
    object.extend(
        members
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
}
