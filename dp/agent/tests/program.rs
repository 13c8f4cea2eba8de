//! What the test binary is when agents and services run it: `agent --dir DIR`, `engine NAME ...`.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use metapaas_agent::{
    AgentOptions, Applied, BoxFuture, Driver, DriverError, Drivers, Engines, HealthReport, NodeContext,
    NodeDocument, ServiceSpec,
};

/// Exit code of an agent that says it runs already.
pub(crate) const REFUSED: u8 = 3;

pub(crate) fn agent(arguments: Vec<OsString>) -> ExitCode {
    let [flag, dir] = arguments.as_slice() else { return ExitCode::from(2) };
    assert_eq!(flag, "--dir");
    let drivers = Drivers::new().with("web", || Box::new(Web));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(metapaas_agent::run(AgentOptions { dir: dir.into() }, &drivers)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(REFUSED)
        }
    }
}

pub(crate) fn engine(mut arguments: Vec<OsString>) -> ExitCode {
    let name = arguments.remove(0);
    Engines::new().with("web", web).run(name.to_str().unwrap(), arguments)
}

/// Answers `<process id> <content of the file greeting>` to every request.
fn web(arguments: Vec<OsString>) -> ExitCode {
    let listener = TcpListener::bind(arguments[0].to_str().unwrap()).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
            line.clear();
        }
        let body =
            format!("{} {}", std::process::id(), std::fs::read_to_string("greeting").unwrap_or_default());
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
    ExitCode::SUCCESS
}

/// The driver: `config` is `{greeting, restart_on, fault}`.
pub(crate) struct Web;

impl Driver for Web {
    fn apply<'a>(
        &'a mut self,
        node: &'a NodeContext,
        document: &'a NodeDocument,
    ) -> BoxFuture<'a, Result<Applied, DriverError>> {
        Box::pin(async move {
            let text = |name: &str| document.config[name].as_str().unwrap_or_default().to_owned();
            match text("fault").as_str() {
                "panic" => panic!("the driver was told to"),
                "refuse" => return Err(DriverError::Document("the document says so".to_owned())),
                "escape" => node.write_file("../token", "stolen", 0o600).await.map(|_| ())?,
                _ => {}
            }
            node.write_file("greeting", text("greeting"), 0o600).await?;
            if text("fault") == "broken service" {
                node.ensure_service(&ServiceSpec::program("web", "/no/such/program")).await?;
                return Ok(Applied::default());
            }
            let service = ServiceSpec::engine("web", "web")
                .arguments([node.socket_address().to_string()])
                .restart_on(text("restart_on"));
            node.ensure_service(&service).await?;
            Ok(Applied::default())
        })
    }

    fn health<'a>(&'a mut self, node: &'a NodeContext) -> BoxFuture<'a, HealthReport> {
        Box::pin(node.http_health("/"))
    }
}
