//! The log: lines on standard error.

use std::io;

use localack_tun::config::{LogFormat, LogLevel};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry, reload};

/// Changes the level of the log.
pub(super) type SetLevel = Box<dyn Fn(LogLevel) + Send + Sync>;

/// Begins to log; answers what changes the level.
pub(super) fn start(format: LogFormat, level: LogLevel) -> SetLevel {
    let (filter, handle) = reload::Layer::new(filter(level));
    let registry = registry().with(filter);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(false);
    // It fails only where there is a log already.
    let _ = match format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        _ => registry.with(lines).try_init(),
    };
    Box::new(move |level| {
        let _ = handle.reload(self::filter(level));
    })
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    }
}
