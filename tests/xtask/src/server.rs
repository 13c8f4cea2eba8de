//! [`Server`]: a program of ours that says where it listens, asked one question over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::context::{Context, end_group};
use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; it is ended when dropped.
pub(crate) struct Server {
    name: String,
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        end_group(&mut self.child);
    }
}

impl Server {
    /// Starts `command` and waits for the line that holds its `http://` address.
    pub(crate) fn start(ctx: &Context, name: &str, command: &mut Command) -> Result<Self, Error> {
        let child = ctx.start(command.stdout(Stdio::piped()))?;
        let mut server = Self { name: name.to_owned(), child, address: String::new() };
        let (sender, lines) = mpsc::channel();
        if let Some(output) = server.child.stdout.take() {
            // It reads to the end so that the server never waits for room in the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if let Some(address) = address_in(&line) {
                        server.address = address.to_owned();
                        return Ok(server);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => ctx.tick()?,
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(server.failed("it ended without saying where it listens"));
                }
            }
        }
        Err(server.failed("it did not say where it listens"))
    }

    /// Asks until `path` answers 200.
    pub(crate) fn wait_until_ok(&self, ctx: &Context, path: &str) -> Result<(), Error> {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < PATIENCE {
            match self.status_line(path) {
                Ok(line) if line.split(' ').nth(1) == Some("200") => return Ok(()),
                Ok(line) => last = line,
                Err(error) => last = error.to_string(),
            }
            ctx.tick()?;
        }
        Err(self.failed(&format!("GET {path} said: {last}")))
    }

    fn status_line(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    fn failed(&self, reason: &str) -> Error {
        Error::Server { name: self.name.clone(), reason: reason.to_owned() }
    }
}

/// `host:port` of the first `http://` address in the line.
fn address_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:-[]".contains(c))).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|address| address.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::address_in;

    #[test]
    fn addresses_are_found_in_sentences() {
        assert_eq!(address_in("http://127.0.0.1:8080"), Some("127.0.0.1:8080"));
        assert_eq!(address_in("MetaPaaS listens on http://127.0.0.1:8080/ now"), Some("127.0.0.1:8080"));
        assert_eq!(address_in("see http://example.com"), None);
        assert_eq!(address_in("nothing here"), None);
    }
}
