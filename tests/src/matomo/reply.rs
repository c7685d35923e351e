//! What goes back over the wire: whole answers, half ones, and none at all.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame};
use hyper::{Response, StatusCode, header};
use serde_json::Value;

/// How a request is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A status with JSON.
    Json(u16, Value),
    /// A status with a web page or plain text.
    Page(u16, &'static str),
    /// A status and nothing else.
    Empty(u16),
    /// 301 to this address.
    Redirect(String),
    /// Half of this JSON, then the connection ends.
    Half(Value),
    /// No answer; the connection stays open for a while.
    Silence,
    /// No answer; the connection is closed.
    Drop,
    /// No answer; the connection is reset.
    Reset,
}

/// The body of an answer.
pub type Answer = BoxBody<Bytes, Cut>;

/// The connection ends here, on purpose.
#[derive(Debug, Clone, Copy)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the stand-in cuts the connection, as planned")
    }
}

impl std::error::Error for Cut {}

impl Reply {
    /// The answer to send; the replies without one are an error, which ends the connection.
    pub fn into_response(self) -> Result<Response<Answer>, Cut> {
        let (status, kind, text) = match self {
            Reply::Json(status, value) => (status, "application/json; charset=utf-8", value.to_string()),
            Reply::Page(status, text) => (status, "text/html; charset=utf-8", text.to_owned()),
            Reply::Empty(status) => (status, "text/html", String::new()),
            Reply::Redirect(to) => return redirect(&to),
            Reply::Half(value) => return half(&value.to_string()),
            Reply::Silence | Reply::Drop | Reply::Reset => return Err(Cut),
        };
        let whole = Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
        let mut response = Response::new(whole.boxed());
        *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Cut)?;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        Ok(response)
    }
}

fn redirect(to: &str) -> Result<Response<Answer>, Cut> {
    let mut response = Reply::Empty(301).into_response()?;
    response.headers_mut().insert(header::LOCATION, to.parse().map_err(|_| Cut)?);
    Ok(response)
}

fn half(text: &str) -> Result<Response<Answer>, Cut> {
    let bytes = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let mut response = Response::new(Stump { bytes: Some(bytes), flushed: false }.boxed());
    response.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from(text.len()));
    Ok(response)
}

/// A body that breaks off after its first bytes have left.
struct Stump {
    bytes: Option<Bytes>,
    flushed: bool,
}

impl Body for Stump {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(bytes) = self.bytes.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.flushed {
            return Poll::Ready(Some(Err(Cut)));
        }
        // The server writes out what it has while a body is not ready, so the first half really reaches the client.
        self.flushed = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
