//! The life of a client, before a server of each kind.

use dcr_tests::konnect::application;

use crate::server::Manners;
use crate::world::World;

pub(crate) async fn a_client_opens_tokens_until_it_is_deleted() {
    for manners in [
        Manners::default(),
        Manners::tokens_once(),
        Manners::secret_sent_back(),
        Manners::always_a_new_secret(),
    ] {
        let world = World::start(manners).await;
        let made = world.konnect.create(&application("ferry")).await.created();
        let (id, secret) = (made.client_id.to_string(), made.client_secret.to_string());
        assert!(world.opens(&id, &secret).await);
        let client = world.server.client(&id).expect("it is there");
        assert_eq!(client.metadata["client_name"], "ferry");
        assert_eq!(
            client.metadata["token_endpoint_auth_method"],
            "client_secret_post"
        );
        world.konnect.delete(&id).await.gone();
        assert!(world.server.client(&id).is_none());
        world.konnect.delete(&id).await.gone();
        world.end().await;
    }
}
