//! The HTTP side.
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, service::service_fn};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

pub(crate) fn run(arguments: &[OsString]) -> io::Result<()> {
    let [address, document, _data] = arguments else {
        return Err(io::Error::other("usage: metapaas engine s3d ADDRESS DOCUMENT_FILE DATA_DIR"));
    };
    let (address, document) = (address.to_string_lossy().into_owned(), PathBuf::from(document));
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        let listener = tokio::net::TcpListener::bind(&address).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            let document = document.clone();
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let document = document.clone();
                async move {
                    let text = std::fs::read(&document)
                        .ok()
                        .and_then(|text| serde_json::from_slice::<crate::document::Document>(&text).ok());
                    let (status, body) = match (request.uri().path(), text) {
                        ("/health", Some(document)) => (200, document.digest),
                        _ => (503, "not yet".to_owned()),
                    };
                    let mut response = Response::new(Full::new(Bytes::from(body)));
                    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(socket), service),
            );
        }
    })
}
