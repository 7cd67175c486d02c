//! One call's answer, and what can be judged of it.

use serde_json::{Map, Value};

use crate::bridge::{Bridge, Exchange};
use crate::call::Call;
use crate::shape::{Shape, word};
use crate::verdict::{Finding, Verdict, broken, unjudged};

/// What came of a call that checks judge.
#[derive(Debug)]
pub(crate) enum Seen {
    /// An answer.
    Answered(Exchange),
    /// None, for this reason.
    Silent(String),
    /// It was not called, for this reason.
    Never(String),
}

impl Seen {
    /// Makes a call.
    pub(crate) async fn of(bridge: &Bridge, call: &Call) -> Self {
        match bridge.call(call).await {
            Ok(exchange) if exchange.status() == 429 && bridge.made().impatient => {
                Self::Never("the bridge asks to wait for longer than --patience".to_owned())
            }
            Ok(exchange) => Self::Answered(exchange),
            Err(e) => Self::Silent(e),
        }
    }

    /// The answer. That there is none is a failure.
    pub(crate) fn answered(&self) -> Result<&Exchange, Finding> {
        match self {
            Self::Answered(exchange) => Ok(exchange),
            Self::Silent(e) => broken(e),
            Self::Never(why) => unjudged(why),
        }
    }

    /// The answer with success. Another is for another check to tell.
    pub(crate) fn succeeded(&self) -> Result<&Exchange, Finding> {
        match self {
            Self::Answered(exchange) if exchange.status().is_success() => Ok(exchange),
            Self::Answered(exchange) => unjudged(format!(
                "{} was answered {}",
                exchange.asked,
                exchange.status().as_u16()
            )),
            Self::Silent(_) => unjudged("the call was not answered"),
            Self::Never(why) => unjudged(why),
        }
    }

    /// The object that the answer with success is.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Finding> {
        match self.succeeded()?.json() {
            Some(Value::Object(object)) => Ok(object),
            _ => unjudged("the answer is no JSON object"),
        }
    }

    /// The status is this one.
    pub(crate) fn status(&self, wanted: u16) -> Verdict {
        let exchange = self.answered()?;
        let found = exchange.status();
        if found.as_u16() == wanted {
            return Ok(());
        }
        let asked = &exchange.asked;
        if found.is_success() {
            broken(format!("{asked} was answered {}", found.as_u16()))
        } else {
            broken(format!(
                "{asked} was answered {} {}",
                found.as_u16(),
                exchange.complaint()
            ))
        }
    }

    /// Konnect takes it as a success.
    pub(crate) fn succeeds(&self) -> Verdict {
        let exchange = self.answered()?;
        if exchange.status().is_success() {
            Ok(())
        } else {
            self.status(200)
        }
    }

    /// It is refused, and not by a failure of the bridge. A refusal to whoever calls too often is one.
    pub(crate) fn refused(&self) -> Verdict {
        let exchange = self.answered()?;
        match exchange.status() {
            status if status.is_client_error() => Ok(()),
            status => broken(format!(
                "{} was answered {}",
                exchange.asked,
                status.as_u16()
            )),
        }
    }

    /// A failure is told as the contract has it.
    pub(crate) fn says_why(&self) -> Verdict {
        let exchange = self.answered()?;
        if exchange.status().is_success() {
            return unjudged(format!("{} was not refused", exchange.asked));
        }
        let Some(Value::Object(body)) = exchange.json() else {
            return broken(format!(
                "{} was answered {} with a body that is no JSON object",
                exchange.asked,
                exchange.status().as_u16()
            ));
        };
        for name in ["error", "error_description"] {
            match body.get(name) {
                Some(Value::String(text)) if !text.is_empty() => {}
                Some(Value::String(_)) => return broken(format!("{name} is empty")),
                None => return broken(format!("{name} is missing")),
                Some(other) => return broken(format!("{name} is {}, not text", word(other))),
            }
        }
        Ok(())
    }

    /// The body is JSON and is said to be.
    pub(crate) fn is_json(&self) -> Verdict {
        let exchange = self.succeeded()?;
        let found = exchange.answer.header("content-type").unwrap_or_default();
        let essence = found.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(crate::call::JSON) {
            return broken(format!("the content type is {found:?}"));
        }
        match exchange.json() {
            Some(Value::Object(_)) => Ok(()),
            Some(other) => broken(format!("the body is {}, not an object", word(&other))),
            None => broken("the body is no JSON"),
        }
    }

    /// There is no body.
    pub(crate) fn is_empty(&self) -> Verdict {
        let exchange = self.succeeded()?;
        match exchange.answer.body.len() {
            0 => Ok(()),
            bytes => broken(format!("the answer has a body of {bytes} bytes")),
        }
    }

    /// One member is as its schema has it.
    pub(crate) fn member(&self, shape: &Shape, name: &str) -> Verdict {
        match shape.member(&self.object()?, name) {
            None => Ok(()),
            Some(wrong) => broken(wrong),
        }
    }

    /// There is no member beside those of the schema.
    pub(crate) fn no_others(&self, shape: &Shape) -> Verdict {
        let others = shape.others(&self.object()?);
        if others.is_empty() {
            Ok(())
        } else {
            broken(format!("the answer also has {}", others.join(", ")))
        }
    }

    /// The answer is about this client.
    pub(crate) fn about(&self, client_id: &str) -> Verdict {
        match self.object()?.get("client_id") {
            Some(Value::String(id)) if id != client_id => broken(format!(
                "the answer is about the client {id:?}, not about {client_id:?}"
            )),
            _ => Ok(()),
        }
    }
}
