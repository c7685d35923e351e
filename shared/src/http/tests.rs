//! Servers that answer well and badly, each as a few lines over a socket.

use std::error::Error;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::*;

/// What one request looked like on the wire.
async fn read_request(socket: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut part = [0; 4_096];
    // Each test sends a body that ends in `END`.
    while !request.ends_with("END") {
        let count = socket.read(&mut part).await.unwrap();
        assert!(count > 0, "the client left after {request:?}");
        request += std::str::from_utf8(&part[..count]).unwrap();
    }
    request
}

/// A server for one connection that answers one request with these bytes and closes; gives its address
/// and, in the end, the request.
async fn server(answer: &'static str) -> (String, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = read_request(&mut socket).await;
        socket.write_all(answer.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        tell.send(request).unwrap();
    });
    (address, told)
}

fn client() -> Http {
    Http::new(HttpOptions { answer_bytes_max: 16, ..HttpOptions::named("sidecar/1") }).unwrap()
}

async fn post(client: &Http, address: &str) -> Result<Answer, HttpError> {
    client.post(&format!("{address}/matomo.php?token_auth=s3cret"), "application/json", b"the END".to_vec()).await
}

/// The whole story an operator would read.
fn story(error: &HttpError) -> String {
    format!("{error}: {:?} {error:?}", error.source().map(ToString::to_string))
}

#[tokio::test]
async fn a_request_arrives_as_it_was_meant_and_the_answer_comes_back() {
    let (address, told) = server("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\ngood").await;
    let door = BasicAuth { user: "u".to_owned(), password: Secret::new("p") };
    let client = Http::new(HttpOptions { basic_auth: Some(door), ..HttpOptions::named("sidecar/1") }).unwrap();
    let answer = post(&client, &address).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"good".as_slice()));
    assert_eq!(answer.content_type.as_deref(), Some("text/plain"));
    let request = told.await.unwrap().to_ascii_lowercase();
    for part in [
        "post /matomo.php?token_auth=s3cret http/1.1",
        "user-agent: sidecar/1",
        "authorization: basic dtpw",
        "content-type: application/json",
        "content-length: 7",
    ] {
        assert!(request.contains(part), "{part:?} is missing in {request}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (address, _told) = server("HTTP/1.1 302 Found\r\nlocation: https://matomo/\r\ncontent-length: 0\r\n\r\n").await;
    let answer = post(&client(), &address).await.unwrap();
    assert_eq!((answer.status, answer.location.as_deref()), (302, Some("https://matomo/")));
}

#[tokio::test]
async fn nobody_listening_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = post(&client(), &address).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent { .. }) && error.never_left(), "{error:?}");
    assert!(error.to_string().contains(&address) && error.to_string().ends_with("/matomo.php"), "{error}");
    assert!(story(&error).contains("refused") && !story(&error).contains("s3cret"), "{}", story(&error));
}

#[tokio::test]
async fn a_server_without_tls_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = post(&client(), &address).await.unwrap_err();
    assert!(matches!(error, HttpError::NotSent { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_address_is_not_sent() {
    for url in ["matomo", "ftp://matomo/s3cret", ""] {
        let error = client().post(url, "text/plain", "END").await.unwrap_err();
        assert!(error.never_left() && !story(&error).contains("s3cret"), "{error:?}");
    }
}

#[tokio::test]
async fn no_answer_or_half_an_answer_means_closed() {
    for answer in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ngood",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ngood\r\n",
        "not http\r\n\r\n",
    ] {
        let (address, _told) = server(answer).await;
        let error = post(&client(), &address).await.unwrap_err();
        assert!(matches!(error, HttpError::Closed { .. }), "{answer:?}: {error:?}");
        assert!(!story(&error).contains("s3cret"));
    }
}

#[tokio::test]
async fn a_large_answer_is_not_read_to_its_end() {
    for answer in
        ["HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n01234567890123456", "HTTP/1.1 200 OK\r\n\r\n01234567890123456"]
    {
        let (address, _told) = server(answer).await;
        let error = post(&client(), &address).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLarge { bytes_max: 16, .. }), "{answer:?}: {error:?}");
    }
    let (address, _told) = server("HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n0123456789012345").await;
    assert_eq!(post(&client(), &address).await.unwrap().body.len(), 16);
}

#[tokio::test]
async fn a_silent_server_means_timed_out() {
    let deadline = Duration::from_millis(200);
    let client = Http::new(HttpOptions { deadline, ..HttpOptions::named("sidecar/1") }).unwrap();
    for beginning in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ngo"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_request(&mut socket).await;
            socket.write_all(beginning.as_bytes()).await.unwrap();
            // Held open until the client leaves.
            while socket.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
        });
        let error = post(&client, &address).await.unwrap_err();
        assert!(matches!(error, HttpError::TimedOut { .. }), "{beginning:?}: {error:?}");
        serving.await.unwrap();
    }
}

#[test]
fn a_file_of_certificates_must_hold_some() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let with = |path: &std::path::Path| {
        Http::new(HttpOptions { ca_file: Some(path.to_owned()), ..HttpOptions::named("sidecar/1") })
    };
    assert!(matches!(with(&path), Err(SetupError::CaFile { .. })));
    for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, content).unwrap();
        let error = with(&path).unwrap_err();
        assert!(matches!(error, SetupError::NoCertificates { .. }), "{content:?}: {error:?}");
        assert_eq!(crate::entry::Failure::from(error).exit.code(), 78);
    }
}
