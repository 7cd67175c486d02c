//! Every route, for every ordered pair of providers: nobody reads, changes or finds what is another's.
//!
//! `one` and `two` share a connector and its IdP, `three` has both to itself.

use std::collections::BTreeMap;

use dcr_tests::konnect::{application, event};
use dcr_tests::{Connector, Gateway, Konnect, Provider, Proxy, Reply, SmallIdp};
use http::Method;
use serde_json::{Value, json};

use crate::start::{connector_of, gateway};

/// A client and all that is known about it.
struct Client {
    id: String,
    secrets: [String; 2],
    secret_ids: Vec<String>,
}

struct World {
    gateway: Gateway,
    idps: [SmallIdp; 2],
    _between: Vec<(Proxy, Connector)>,
    clients: BTreeMap<&'static str, Client>,
}

/// The providers, with the number of the IdP of each.
const PROVIDERS: [(&str, usize); 3] = [("one", 0), ("two", 0), ("three", 1)];

impl World {
    /// A bridge with a client of two secrets for each provider.
    async fn new() -> Self {
        let idps = [SmallIdp::start().await, SmallIdp::start().await];
        let mut between = Vec::new();
        for idp in &idps {
            let proxy = Proxy::before(idp.url());
            let connector = connector_of(&proxy, idp.admin(), "", "").await;
            between.push((proxy, connector));
        }
        let [(_, shared), (_, own)] = between.as_slice() else {
            unreachable!()
        };
        let connectors = [shared.address, shared.address, own.address];
        let providers = PROVIDERS.map(|(id, _)| id).into_iter().zip(connectors);
        let providers: Vec<_> = providers
            .map(|(id, connector)| Provider::new(id, connector))
            .collect();
        let gateway = gateway(&providers).await;
        let mut clients = BTreeMap::new();
        for (provider, _) in PROVIDERS {
            let konnect = gateway.konnect(provider);
            let created = konnect
                .create(&application(&name(provider)))
                .await
                .created();
            let id = created.client_id.to_string();
            let added = konnect.add(&id).await.added(&id);
            let secret_ids = konnect.list(&id).await.listed(&id);
            let client = Client {
                id,
                secrets: [created.client_secret, added.client_secret].map(|s| s.to_string()),
                secret_ids: secret_ids.iter().map(|s| s.secret_id.clone()).collect(),
            };
            assert_eq!(client.secret_ids.len(), 2);
            clients.insert(provider, client);
        }
        Self {
            gateway,
            idps,
            _between: between,
            clients,
        }
    }

    fn client(&self, of: &str) -> &Client {
        self.clients.get(of).expect("every provider has a client")
    }

    /// Both IdPs' tables, byte for byte.
    async fn tables(&self) -> [String; 2] {
        let [first, second] = &self.idps;
        let [first, second] = [
            first.admin().clients().await,
            second.admin().clients().await,
        ];
        [
            Value::from(first).to_string(),
            Value::from(second).to_string(),
        ]
    }

    /// Konnect at a provider's path with a provider's key, to whom nothing of `owner` may be told.
    fn konnect(&self, path: &str, key: &str, owner: &str) -> Konnect {
        let konnect = self.gateway.konnect(path);
        let konnect = konnect
            .with_key(Some(self.gateway.key(key)))
            .hiding(&name(owner));
        let client = self.client(owner);
        let secrets = client.secrets.iter().chain(&client.secret_ids);
        secrets.fold(konnect, |konnect, secret| konnect.hiding(secret))
    }
}

fn name(provider: &str) -> String {
    format!("ferry-of-{provider}")
}

/// Every route about a client, and each kind of hook; the delete is the last.
async fn routes(konnect: &Konnect, client: &str, secret: &str) -> Vec<(&'static str, Reply)> {
    let update = json!({"application_name": "taken over", "redirect_uris": []});
    let hook = |kind, members| event(kind, client, members);
    let api = json!({"api_id": "a"});
    vec![
        ("rotate", konnect.rotate(client).await),
        ("list", konnect.list(client).await),
        ("add", konnect.add(client).await),
        ("remove", konnect.remove(client, secret).await),
        (
            "update",
            konnect
                .hook(client, &hook("update_application", &update))
                .await,
        ),
        (
            "register",
            konnect.hook(client, &hook("add_registration", &api)).await,
        ),
        (
            "deregister",
            konnect
                .hook(client, &hook("remove_registration", &api))
                .await,
        ),
        ("delete", konnect.delete(client).await),
    ]
}

/// All of an answer but for the moment and the reference.
fn face(reply: Reply) -> (u16, Vec<String>, String) {
    let status = reply.answer.status.as_u16();
    let headers = reply.answer.headers.iter();
    let headers = headers.filter(|(name, _)| *name != "date" && *name != "x-request-id");
    let mut headers: Vec<_> = headers
        .map(|(n, value)| format!("{n}: {value:?}"))
        .collect();
    headers.sort();
    let text = if status < 300 {
        reply.answer.text()
    } else {
        let refusal = reply.refused(status);
        format!("{}: {}", refusal.error, refusal.sentence())
    };
    (status, headers, text)
}

fn pairs() -> impl Iterator<Item = [(&'static str, usize); 2]> {
    let all = PROVIDERS.into_iter();
    all.flat_map(|intruder| PROVIDERS.map(|owner| [intruder, owner]))
        .filter(|[intruder, owner]| intruder != owner)
}

#[tokio::test]
async fn no_key_opens_another_providers_path() {
    let world = World::new().await;
    let before = world.tables().await;
    for [(intruder, _), (owner, _)] in pairs() {
        let client = world.client(owner);
        let (konnect, stranger) = (
            world.konnect(owner, intruder, owner),
            world
                .konnect(owner, intruder, owner)
                .with_key(Some("key_of_nobody_at_all")),
        );
        let application = application("intruder");
        let create = async |konnect: &Konnect| face(konnect.create(&application).await);
        let expected = create(&stranger).await;
        assert_eq!(expected.0, 401);
        assert_eq!(create(&konnect).await, expected, "{intruder} at {owner}");
        let [secret, _] = client.secret_ids.as_slice() else {
            unreachable!()
        };
        for (route, reply) in routes(&konnect, &client.id, secret).await {
            assert_eq!(face(reply), expected, "{intruder} at {owner}: {route}");
        }
    }
    assert_eq!(world.tables().await, before);
}

#[tokio::test]
async fn no_client_or_secret_of_another_provider_is_read_changed_or_found() {
    let world = World::new().await;
    let before = world.tables().await;
    for [(intruder, its_idp), (owner, owners_idp)] in pairs() {
        let konnect = world.konnect(intruder, intruder, owner);
        let client = world.client(owner);
        let [secret, _] = client.secret_ids.as_slice() else {
            unreachable!()
        };
        let foreign = routes(&konnect, &client.id, secret).await;
        let absent = routes(&konnect, "a-client-that-never-was", secret).await;
        for ((route, foreign), (_, absent)) in foreign.into_iter().zip(absent) {
            let (foreign, absent) = (face(foreign), face(absent));
            let at = format!("{intruder} on {owner}'s client: {route}");
            match route {
                // Konnect must be able to remove an application whose client is gone, and must be told that a client
                // is still there: the one difference that the design wants.
                "delete" if its_idp == owners_idp => {
                    assert_eq!((foreign.0, absent.0), (404, 204), "{at}");
                }
                "delete" => assert_eq!((foreign.0, &foreign), (204, &absent), "{at}"),
                _ => assert_eq!((foreign.0, &foreign), (404, &absent), "{at}"),
            }
        }
        // Another's secret under one's own client.
        konnect
            .remove(&world.client(intruder).id, secret)
            .await
            .gone();
        // Another's client in one's own path, by way of a body.
        let own = &world.client(intruder).id;
        let hook = event(
            "update_application",
            &client.id,
            &json!({"application_name": "taken over"}),
        );
        let _ = konnect.hook(own, &hook).await.refused(400);
        // No method but those of the contract gets any further.
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::POST] {
            let path = format!("/{}", client.id);
            let _ = konnect.call(method, &path, None).await.refused(405);
        }
    }
    assert_eq!(world.tables().await, before);
    for (provider, idp) in PROVIDERS {
        let client = world.client(provider);
        for secret in &client.secrets {
            assert!(
                world.idps[idp].tokens().opens(&client.id, secret).await,
                "{provider}"
            );
        }
        // What was refused to the others is there for its owner.
        let konnect = world.gateway.konnect(provider);
        assert_eq!(konnect.list(&client.id).await.listed(&client.id).len(), 2);
        konnect.delete(&client.id).await.gone();
    }
    for idp in &world.idps {
        assert_eq!(idp.admin().clients().await, Vec::<Value>::new());
    }
}
