//! The `rhubarb-server` program: reads its options and configuration, and runs the server.

use std::process::ExitCode;
use std::sync::Arc;

use rhubarb::config::Config;
use rhubarb::server::Parts;
use rhubarb::util::clock::{Clock, SystemClock};
use rhubarb::util::log::{Level, Log};
use rhubarb::{commands, net};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = Log::stdout(Level::Notice, Arc::clone(&clock));
    let mut config = Config::default();
    if let Some(port) = std::env::args().skip_while(|a| a != "--port").nth(1) {
        config.port = port.parse().unwrap_or(6379);
    }
    let parts = Parts {
        config,
        commands: commands::table(),
        clock,
        log,
        network: Box::new(rhubarb::server::network::NoNetwork),
        config_file: None,
    };
    match net::run(parts) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(_) => ExitCode::FAILURE,
    }
}
