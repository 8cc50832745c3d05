//! nginx in front of the same upstream: what a proxy that looks at nothing costs.

use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::{Connection, Question};
use llm_router_testnet::eventually;

/// A running nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    /// `host:port`.
    pub(crate) address: String,
    _child: Child,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx in front of `upstream`; `None` where it is not installed.
    ///
    /// # Errors
    /// When it is installed and does not answer.
    pub(crate) async fn start(upstream: &str) -> anyhow::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config(&address, upstream))?;
        let started = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        eventually("nginx answers", Duration::from_secs(5), async || {
            let mut connection = Connection::open(&address).await.ok()?;
            connection.ask(&Question::chat(false)).await.ok()
        })
        .await?;
        Ok(Some(Nginx {
            address,
            _child: child,
            _folder: folder,
        }))
    }
}

fn config(address: &str, upstream: &str) -> String {
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    upstream scripted {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://scripted;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
        }}
    }}
}}
"
    )
}
