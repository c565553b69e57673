//! `/logs` and `/tmp/logs`: the lines of LOG_FILE.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream::try_unfold;
use random_generator::server::format::wanted;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::{Shared, with};

const TEXT: &str = "text/plain;charset=UTF-8";
/// Read and sent at once, which bounds the memory for a file of any size.
const PIECE: u64 = 64 * 1024;
/// No line is longer.
const LINE_MAX: u64 = 4096;

/// The lines up to now, those of other processes included; none where LOG_FILE isn't set, isn't there or is a device.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if wanted(request.headers(), "text/plain") == 0 {
        return shared.fault(StatusCode::NOT_ACCEPTABLE, request.uri());
    }
    let Some(log_file) = &shared.log_file else {
        return with(TEXT, Body::empty());
    };
    log_file.flush().await;
    match lines(log_file.path()).await {
        Ok((body, length)) => {
            let mut response = with(TEXT, body);
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            response
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => with(TEXT, Body::empty()),
        Err(error) => {
            tracing::warn!(%error, path = %log_file.path().display(), "/logs: the file can't be read");
            shared.fault(StatusCode::INTERNAL_SERVER_ERROR, request.uri())
        }
    }
}

/// The lines, and how many bytes they are.
async fn lines(path: &Path) -> io::Result<(Body, u64)> {
    // Not opened unless it is a file: opening a pipe would wait for who writes into it.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Ok((Body::empty(), 0));
    }
    let mut file = File::open(path).await?;
    let end = whole_lines(&mut file).await?;
    file.seek(SeekFrom::Start(0)).await?;
    let pieces = try_unfold((file, end), |(mut file, left)| async move {
        let mut piece = Vec::new();
        let read = (&mut file).take(left.min(PIECE)).read_to_end(&mut piece).await?;
        match read {
            0 if left > 0 => Err(io::Error::other("it is shorter than it was: it was truncated")),
            0 => Ok(None),
            read => Ok(Some((Bytes::from(piece), (file, left - read as u64)))),
        }
    });
    Ok((Body::from_stream(pieces), end))
}

/// Where the last whole line ends. Another process may be in the midst of the next.
async fn whole_lines(file: &mut File) -> io::Result<u64> {
    let length = file.metadata().await?.len();
    let from = length.saturating_sub(LINE_MAX);
    file.seek(SeekFrom::Start(from)).await?;
    let mut last = Vec::new();
    (&mut *file).take(length - from).read_to_end(&mut last).await?;
    let feed = last.iter().rposition(|byte| *byte == b'\n');
    Ok(feed.map_or(length, |at| from + at as u64 + 1))
}
