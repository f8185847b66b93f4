//! A web server that answers like `http://hello.ts.net/` in every tailnet: a redirect to the https page.

#![forbid(unsafe_code)]

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const BODY: &str = "<a href=\"https://hello.ts.net\">Found</a>.\n";

/// The longest request that is read.
const LONGEST_REQUEST: usize = 16 << 10;

/// Serves until accepting fails.
pub async fn serve(listener: TcpListener) -> io::Error {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // An error concerns this client only.
                tokio::spawn(async move { serve_client(client).await.ok() });
            }
            Err(error) => return error,
        }
    }
}

async fn serve_client(mut client: TcpStream) -> io::Result<()> {
    read_request(&mut client).await?;
    let length = BODY.len();
    let response = format!(
        "HTTP/1.1 302 Found\r\nLocation: https://hello.ts.net\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{BODY}"
    );
    client.write_all(response.as_bytes()).await?;
    client.shutdown().await
}

/// Reads up to the empty line: closing a socket with unread bytes would reset the connection and lose the answer.
async fn read_request(client: &mut TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < LONGEST_REQUEST {
        if client.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_in_pieces_is_answered_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        client
            .write_all(b"Host: hello.ts.net\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
        assert!(answer.ends_with(BODY), "{answer}");
    }
}
