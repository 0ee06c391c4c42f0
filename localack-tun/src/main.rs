//! `localack-tun`: see the library's documentation and `localack-tun --help`.

#[cfg(target_os = "linux")]
mod cli;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    cli::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("localack-tun: TUN devices and network namespaces need Linux");
    std::process::ExitCode::FAILURE
}
