//! tokio_echo PORT COUNT: COUNT streams at once on one thread; prints how many got their own bytes back.

use std::error::Error;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn one(port: u16, number: usize) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let said = format!("this is client {number}\n");
    stream.write_all(said.as_bytes()).await?;
    let mut heard = vec![0; said.len()];
    stream.read_exact(&mut heard).await?;
    Ok(heard == said.as_bytes())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let port = words.next().ok_or("PORT is missing")?.parse()?;
    let count = words.next().ok_or("COUNT is missing")?.parse()?;
    let tasks: Vec<_> = (0..count)
        .map(|number| tokio::spawn(one(port, number)))
        .collect();
    let mut good = 0;
    for task in tasks {
        good += usize::from(task.await??);
    }
    writeln!(std::io::stdout(), "{good}")?;
    Ok(())
}
