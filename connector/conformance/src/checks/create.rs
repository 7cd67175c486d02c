//! New clients.

use dcr_proto::v1;
use tonic::Code;

use crate::bridge::Bridge;
use crate::check::{Verdict, about, broken, ensure, group};
use crate::requests::operation;

group! {
    "create",
    the_least_that_can_be_asked_for [Core]
        "CreateClient makes a confidential client of a name and a grant type and returns id and secret" =>
        "Give everything else a default of your own; see CreateClientRequest for what is optional.";
    the_most_that_can_be_asked_for [Core]
        "A name and description of 255 characters and 20 redirect URIs are created, truncated where the IdP needs it" =>
        "Count characters, not bytes; truncate what the IdP finds too long, and report it as an adjustment.";
    names_that_look_dangerous [Core]
        "Every name of 1 to 255 characters without control characters is created: quotes, markup, any script" =>
        "Escape for the IdP's own format, never refuse or strip.";
    the_longest_redirect_uri_is_kept_or_refused_by_name [Core]
        "A redirect URI of 2,048 characters is kept, or refused with INVALID_ARGUMENT naming it where the IdP would not honour it" =>
        "Ask the IdP back what it stored, or know its limit; never let it be cut.";
    what_is_too_much_is_refused_by_name [Core]
        "What is beyond the limits of the file is INVALID_ARGUMENT with a violation of that field" =>
        "Check names and descriptions (255 characters), redirect URIs (20 of 2,048) and scopes (50 of 128) before you ask the IdP.";
    redirect_uris_that_are_not_safe_are_refused [Core]
        "Redirect URIs are https, http to loopback, or of a private-use scheme with a dot; all else is INVALID_ARGUMENT naming redirect_uris" =>
        "Parse each URI; refuse other schemes, fragments, user information, wildcards and control characters.";
    control_characters_are_refused [Core]
        "A name or description with control characters is INVALID_ARGUMENT naming it" =>
        "Refuse control characters before you ask the IdP.";
    a_grant_type_that_nobody_knows_is_refused [Core]
        "A grant type that is not registered or that the IdP would not honour is INVALID_ARGUMENT naming grant_types" =>
        "Compare with the list of OAuth's grant types; never drop one silently.";
    every_violation_is_told_at_once [Core]
        "BadRequest holds every violation of a request" =>
        "Collect the violations of all fields before you answer.";
    a_repeated_operation_id_is_refused [Core]
        "A create whose operation id was used is ALREADY_EXISTS, reason OPERATION_REPEATED or CLIENT_EXISTS; it neither adopts nor undoes" =>
        "Remember operation ids, or derive the client id from them so that the IdP refuses the second.";
    one_of_two_with_one_operation_id [Core]
        "Two creates with one operation id at one time make one client" =>
        "Note the operation id before you ask the IdP, not after.";
    a_client_for_verify_is_marked_so [Core, List]
        "A create with probe is marked so, and listed so" =>
        "Write probe into the mark, so that clean-up finds it.";
    the_first_secret_works [Core, Tokens]
        "The secret of the answer is the client's own" =>
        "Deliver what the IdP gave, unchanged; see --token-auth and --patience if it merely lags.";
}

async fn the_least_that_can_be_asked_for(bridge: &Bridge) -> Verdict {
    let request = v1::CreateClientRequest {
        name: "x".to_owned(),
        origin: None,
        scopes: Vec::new(),
        ..bridge.create()
    };
    let client = bridge.client_of(request).await?;
    ensure!(
        !client.id.is_empty() && !client.secret.value.is_empty(),
        "the answer lacks client_id or secret"
    );
    bridge.done(bridge.list_secrets(&client.id)).await?;
    Ok(())
}

async fn the_most_that_can_be_asked_for(bridge: &Bridge) -> Verdict {
    let id = "0123456789abcdef".repeat(4);
    let request = v1::CreateClientRequest {
        name: "Fähre-船-🚢".chars().cycle().take(255).collect(),
        description: "Überfahrt-航路-⚓".chars().cycle().take(255).collect(),
        redirect_uris: (0..20).map(|number| bridge.redirect_uri(number)).collect(),
        token_endpoint_auth_method: "client_secret_basic".to_owned(),
        origin: Some(v1::Origin {
            organization_id: id.clone(),
            portal_id: "test portal_id".to_owned(),
            developer_id: id.clone(),
            auth_strategy_id: id.clone(),
            dcr_provider_id: id.clone(),
            application_id: id,
        }),
        ..bridge.create()
    };
    let client = bridge.client_of(request).await?;
    bridge.done(bridge.list_secrets(&client.id)).await?;
    Ok(())
}

async fn names_that_look_dangerous(bridge: &Bridge) -> Verdict {
    for name in [
        "<script>alert(1)</script>",
        "'; DROP TABLE clients; --",
        "\"quoted\" \\ back\\slash ${env} %s {{x}}",
        "../../etc/passwd",
        "עברית العربية हिन्दी",
        "a&b=c?d#e",
    ] {
        let request = v1::CreateClientRequest {
            name: name.to_owned(),
            ..bridge.create()
        };
        let created = bridge.ask(request).await;
        if let Err(refusal) = created {
            return Err(broken(format!("the name {name:?}: {refusal}")));
        }
    }
    Ok(())
}

async fn the_longest_redirect_uri_is_kept_or_refused_by_name(bridge: &Bridge) -> Verdict {
    let begin = bridge.redirect_uri(0);
    let longest = format!(
        "{begin}{}",
        "a".repeat(2048_usize.saturating_sub(begin.len()))
    );
    let request = v1::CreateClientRequest {
        redirect_uris: vec![longest],
        ..bridge.create()
    };
    match bridge.ask(request).await {
        Ok(_) => Ok(()),
        Err(refusal) if refusal.code == Code::InvalidArgument && refusal.names("redirect_uris") => {
            Ok(())
        }
        Err(refusal) => Err(broken(refusal.to_string())),
    }
}

async fn what_is_too_much_is_refused_by_name(bridge: &Bridge) -> Verdict {
    let begin = bridge.redirect_uri(0);
    let cases: [(&str, v1::CreateClientRequest); 6] = [
        (
            "name",
            v1::CreateClientRequest {
                name: "ß".repeat(256),
                ..bridge.create()
            },
        ),
        (
            "description",
            v1::CreateClientRequest {
                description: "ß".repeat(256),
                ..bridge.create()
            },
        ),
        (
            "redirect_uris",
            v1::CreateClientRequest {
                redirect_uris: (0..21).map(|number| bridge.redirect_uri(number)).collect(),
                ..bridge.create()
            },
        ),
        (
            "redirect_uris",
            v1::CreateClientRequest {
                redirect_uris: vec![format!(
                    "{begin}{}",
                    "a".repeat(2049 - begin.len().min(2049))
                )],
                ..bridge.create()
            },
        ),
        (
            "scopes",
            v1::CreateClientRequest {
                scopes: vec!["s".repeat(129)],
                ..bridge.create()
            },
        ),
        (
            "scopes",
            v1::CreateClientRequest {
                scopes: (0..51).map(|number| format!("s{number}")).collect(),
                ..bridge.create()
            },
        ),
    ];
    for (field, request) in cases {
        let refusal = bridge
            .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
            .await?;
        ensure!(refusal.names(field), "{field} is too much: {refusal}");
    }
    Ok(())
}

async fn redirect_uris_that_are_not_safe_are_refused(bridge: &Bridge) -> Verdict {
    for uri in [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://app.example/callback",
        "/callback",
        "not a uri",
        "https://app.example/callback#fragment",
        "https://user:password@app.example/callback",
        "https://*.example/callback",
        "https://app.example/\r\nSet-Cookie: a=b",
        "myapp://callback",
        "",
    ] {
        let request = v1::CreateClientRequest {
            redirect_uris: vec![bridge.redirect_uri(0), uri.to_owned()],
            ..bridge.create()
        };
        let refusal = bridge
            .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
            .await;
        let refusal = refusal.map_err(|stop| about(stop, &format!("{uri:?}")))?;
        ensure!(refusal.names("redirect_uris"), "{uri:?}: {refusal}");
    }
    Ok(())
}

async fn control_characters_are_refused(bridge: &Bridge) -> Verdict {
    for text in ["a\0b", "a\u{1b}[31mb", "a\u{7f}b", "a\u{85}b"] {
        let name = v1::CreateClientRequest {
            name: text.to_owned(),
            ..bridge.create()
        };
        let description = v1::CreateClientRequest {
            description: text.to_owned(),
            ..bridge.create()
        };
        for (field, request) in [("name", name), ("description", description)] {
            let refusal = bridge
                .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
                .await;
            let refusal = refusal.map_err(|stop| about(stop, &format!("{text:?}")))?;
            ensure!(refusal.names(field), "{field} {text:?}: {refusal}");
        }
    }
    Ok(())
}

async fn a_grant_type_that_nobody_knows_is_refused(bridge: &Bridge) -> Verdict {
    let mut request = bridge.create();
    request.grant_types.push("dcr_conformance_grant".to_owned());
    let refusal = bridge
        .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
        .await?;
    ensure!(refusal.names("grant_types"), "{refusal}");
    Ok(())
}

async fn every_violation_is_told_at_once(bridge: &Bridge) -> Verdict {
    let request = v1::CreateClientRequest {
        name: "n".repeat(256),
        description: "d".repeat(256),
        redirect_uris: vec!["javascript:alert(1)".to_owned()],
        scopes: vec!["two words".to_owned()],
        ..bridge.create()
    };
    let refusal = bridge
        .refused(request, Code::InvalidArgument, &["INVALID_REQUEST"])
        .await?;
    for field in ["name", "description", "redirect_uris", "scopes"] {
        ensure!(refusal.names(field), "{field} is not among them: {refusal}");
    }
    Ok(())
}

const REPEATED: &[&str] = &["OPERATION_REPEATED", "CLIENT_EXISTS"];

async fn a_repeated_operation_id_is_refused(bridge: &Bridge) -> Verdict {
    let request = bridge.create();
    let client = bridge.client_of(request.clone()).await?;
    let again = v1::CreateClientRequest {
        name: "another".to_owned(),
        ..request.clone()
    };
    for repeated in [request, again] {
        bridge
            .refused(repeated, Code::AlreadyExists, REPEATED)
            .await?;
    }
    // The first one is there as it was.
    bridge.done(bridge.list_secrets(&client.id)).await?;
    bridge
        .secret_works(&client.id, &client.secret, true)
        .await?;
    one_bears(bridge, &client.operation_id).await
}

/// Exactly one client bears the mark of an operation, where that can be seen.
async fn one_bears(bridge: &Bridge, operation_id: &str) -> Verdict {
    if !bridge.can(v1::Capability::ListManaged) {
        return Ok(());
    }
    bridge
        .eventually(|| async {
            let mut listed = bridge.listed(bridge.caller()).await?;
            listed.retain(|client| client.operation_id == operation_id);
            let many = listed.len();
            ensure!(many == 1, "{many} clients of the operation are listed");
            Ok(())
        })
        .await
}

async fn one_of_two_with_one_operation_id(bridge: &Bridge) -> Verdict {
    let request = bridge.create();
    let operation = request.operation.clone().unwrap_or_default().operation_id;
    let (one, other) = tokio::join!(bridge.ask(request.clone()), bridge.ask(request));
    match (one, other) {
        (Ok(_), Err(refusal)) | (Err(refusal), Ok(_)) => {
            ensure!(
                refusal.code == Code::AlreadyExists,
                "{refusal}; ALREADY_EXISTS is due"
            );
            one_bears(bridge, &operation).await
        }
        (Ok(one), Ok(other)) => Err(broken(format!(
            "both succeeded: {} and {}",
            one.client_id, other.client_id
        ))),
        (Err(one), Err(other)) => Err(broken(format!("neither succeeded: {one}; {other}"))),
    }
}

async fn a_client_for_verify_is_marked_so(bridge: &Bridge) -> Verdict {
    let probe = v1::CreateClientRequest {
        probe: true,
        operation: Some(operation()),
        ..bridge.create()
    };
    let probe = bridge.client_of(probe).await?;
    let plain = bridge.client().await?;
    bridge
        .eventually(|| async {
            let listed = bridge.listed(bridge.caller()).await?;
            for (client, is_probe) in [(&probe, true), (&plain, false)] {
                let found = listed.iter().find(|listed| listed.client_id == client.id);
                let found = found.ok_or_else(|| broken("a new client is not listed"))?;
                ensure!(
                    found.probe == is_probe,
                    "made with probe: {is_probe}, listed with {}",
                    found.probe
                );
            }
            Ok(())
        })
        .await
}

async fn the_first_secret_works(bridge: &Bridge) -> Verdict {
    let client = bridge.client().await?;
    bridge.secret_works(&client.id, &client.secret, true).await
}
