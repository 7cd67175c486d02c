//! Calls that are begun and not said to their end: the connector has their heads, and waits for their messages.
//!
//! They are in flight for as long as a check wants, however quick connector and IdP are.

use std::time::Duration;

use http::uri::PathAndQuery;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::bridge::Answer;
use crate::refusal::Refusal;
use crate::rpc::Rpc;

/// What a held call is given: longer than anybody holds it, and time for the answer.
const TIME: Duration = Duration::from_secs(30);

/// A call whose message is still to be said. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Held<Q: Rpc> {
    message: oneshot::Sender<Q>,
    answer: JoinSet<Answer<Q::Answer>>,
}

impl<Q> Held<Q>
where
    Q: Rpc,
    Q::Answer: Default,
{
    /// Begins a call. When this is done its head is on the connection of `channel`, before all that is sent there later.
    pub(crate) async fn open(channel: &Channel) -> Self {
        let (message, said) = oneshot::channel();
        let (begun, has_begun) = oneshot::channel();
        let mut answer = JoinSet::new();
        let channel = channel.clone();
        answer.spawn(async move {
            // Nobody asks for a message before the head has gone.
            let messages = tokio_stream::once((begun, said));
            let messages = messages.then(|(begun, said)| async move {
                let _ = begun.send(());
                said.await
            });
            let mut request = Request::new(messages.filter_map(Result::ok));
            request.set_timeout(TIME);
            let answer = called::<Q, _>(channel, request).await;
            answer.map_err(|status| Refusal::of(Q::NAME, &status))
        });
        // It has failed where it has not: the answer tells.
        let _ = has_begun.await;
        Self { message, answer }
    }

    /// Says the message, and waits for the answer.
    pub(crate) async fn say(mut self, message: Q) -> Answer<Q::Answer> {
        // Nobody listens where the call has failed already.
        let _ = self.message.send(message);
        let Some(Ok(answer)) = self.answer.join_next().await else {
            let status = Status::internal("the call itself broke");
            return Err(Refusal::of(Q::NAME, &status));
        };
        answer
    }
}

/// The call as a stream of messages, which is the same on the wire.
async fn called<Q, S>(channel: Channel, request: Request<S>) -> Result<Q::Answer, Status>
where
    Q: Rpc,
    Q::Answer: Default,
    S: tokio_stream::Stream<Item = Q> + Send + 'static,
{
    let path = format!("/dcr.connector.v1.ConnectorService/{}", Q::NAME);
    let path = PathAndQuery::try_from(path).map_err(|error| Status::internal(error.to_string()))?;
    let mut grpc = Grpc::new(channel);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::from_error(error.into()))?;
    let codec = ProstCodec::<Q, Q::Answer>::default();
    let answer = grpc.client_streaming(request, path, codec).await?;
    Ok(answer.into_inner())
}
