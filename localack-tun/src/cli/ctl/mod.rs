//! `localack-tun ctl`: questions and orders to a gateway that runs.

mod text;

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;

use clap::{Args, Subcommand, ValueEnum};
use localack_tun::config::Settings;
use localack_tun::control::protocol::{
    Answer, ArrangementRemove, ArrangementSet, DirectionChoice, FlowName, Flows, PolicyRemove,
    PolicySet, Request, ServiceWord, SetService, Sort,
};
use localack_tun::control::{Client, ClientError, KERNEL_DEVICE};

use super::Failure;

/// What stands for the standard input.
const STDIN: &str = "-";
/// Puts the cursor into the upper left corner of an empty screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Ask a running gateway, or tell it what to do.
///
/// The protocol is documented in docs/control.md; --json prints its answers as they are.
#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// The gateway's control socket.
    #[arg(long, value_name = "PATH", global = true, default_value_os_t = default_socket())]
    socket: PathBuf,

    /// Ask the kernel module (localack.ko) instead of a gateway.
    #[arg(long, global = true, conflicts_with = "socket")]
    kernel: bool,

    /// The kernel module's device.
    #[arg(long, value_name = "PATH", global = true, requires = "kernel",
          default_value = KERNEL_DEVICE)]
    device: PathBuf,

    /// Print answers as JSON, one on a line.
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// Where a gateway listens unless its settings say otherwise.
pub(super) fn default_socket() -> PathBuf {
    Settings::default().control.unwrap_or_default()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What the gateway is doing as a whole.
    Status,
    #[command(name = "flows")]
    FlowList(FlowList),
    /// Connections that were left alone lately, and why.
    Refused,
    /// The policies at work, and changes to them until the next reload or start.
    #[command(subcommand)]
    Policy(Policy),
    /// What policies name for a direction of their connections, and changes to that until the next reload or
    /// start.
    #[command(subcommand)]
    Arrangement(Arrangement),
    Flow(Flow),
    /// Hand every connection back to its ends; new ones pass. The gateway goes on running.
    Drain,
    /// All counters since the start; those that are zero only with --all.
    Stats {
        /// Counters that are zero too.
        #[arg(long)]
        all: bool,
    },
}

/// The flows that are greatest by some measure, and why each is or is not accelerated.
///
/// Each direction has a reason: its list (mode, pass, demote) and its number there, which stay the same
/// in all versions.
#[derive(Debug, Args)]
struct FlowList {
    /// The measure.
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,

    /// How many flows.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// Again every second, or every so many, until interrupted.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// List the policies in their order, with the new connections that each was for.
    List,
    Set(Set),
    /// Take a policy away.
    Remove {
        /// Its name.
        name: String,
    },
    /// Read the file of settings again, as SIGHUP does.
    Reload,
}

/// Tables from a file or from the command line.
#[derive(Debug, Args)]
struct Tables {
    /// A file with the tables; - is the standard input.
    #[arg(required_unless_present = "text")]
    file: Option<PathBuf>,

    /// The tables themselves.
    #[arg(long, value_name = "TOML", conflicts_with = "file")]
    text: Option<String>,
}

impl Tables {
    fn toml(&self) -> Result<String, Failure> {
        match (&self.file, &self.text) {
            (_, Some(text)) => Ok(text.clone()),
            (Some(file), None) => {
                let failed = |error| Failure::runtime(format!("{}: {error}", file.display()));
                read(file).map_err(failed)
            }
            (None, None) => Err(Failure::usage("a file, or --text")),
        }
    }
}

/// Add policies, or replace those of the same names, by tables [[policy]], and [default] if you like;
/// connections under way change with them.
#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    tables: Tables,

    /// The policy before which new ones go; to the end without it.
    #[arg(long, value_name = "NAME")]
    before: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Arrangement {
    /// List the arrangements with the policies that name them, and the directions of open flows that have them.
    List,
    /// Add arrangements, or replace those of the same names, by tables [[arrangement]]; connections under way
    /// change with them.
    Set(Tables),
    /// Take an arrangement away that no policy names.
    Remove {
        /// Its name.
        name: String,
    },
}

/// Ask for another service or arrangement of one flow.
#[derive(Debug, Args)]
struct Flow {
    /// The flow, by its id (0:12.3) or by its two ends (10.0.0.1:5000 192.0.2.7:443), then the service:
    /// local-ack, snoop or bypass. It may be left out where there is an arrangement.
    #[arg(num_args = 1..=3, required = true, value_names = ["FLOW", "SERVICE"])]
    words: Vec<String>,

    /// The arrangement, or none.
    #[arg(long, value_name = "NAME")]
    arrangement: Option<String>,

    /// Only this direction of data; both without it.
    #[arg(long, value_enum)]
    direction: Option<DirectionChoice>,
}

impl Flow {
    fn request(&self) -> Result<Request, Failure> {
        let service = |word: &str| {
            let known = ServiceWord::from_str(word, false);
            known.map(Some).map_err(|_| {
                Failure::usage(format!(
                    "{word:?} is no service: local-ack, snoop or bypass"
                ))
            })
        };
        let end = |word: &str| {
            word.parse::<SocketAddr>().map_err(|_| {
                Failure::usage(format!(
                    "{word:?} is not an address with a port, such as 10.0.0.1:5000 or [2001:db8::1]:443"
                ))
            })
        };
        let is_end = |word: &String| word.parse::<SocketAddr>().is_ok();
        let (flow, service) = match self.words.as_slice() {
            [id] if self.arrangement.is_some() => (FlowName::Id(id.clone()), None),
            [one, other] if self.arrangement.is_some() && is_end(other) => {
                (FlowName::Ends([end(one)?, end(other)?]), None)
            }
            [id, word] => (FlowName::Id(id.clone()), service(word)?),
            [one, other, word] => (FlowName::Ends([end(one)?, end(other)?]), service(word)?),
            _ => {
                let wanted = "a flow, and a service, an arrangement, or both";
                return Err(Failure::usage(wanted));
            }
        };
        Ok(Request::Flow(SetService {
            flow,
            direction: self.direction,
            service,
            arrangement: self.arrangement.clone(),
        }))
    }
}

impl Set {
    fn request(&self) -> Result<Request, Failure> {
        Ok(Request::PolicySet(PolicySet {
            toml: self.tables.toml()?,
            before: self.before.clone(),
        }))
    }
}

fn read(file: &Path) -> io::Result<String> {
    if file == Path::new(STDIN) {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        Ok(text)
    } else {
        fs::read_to_string(file)
    }
}

impl Command {
    fn request(&self) -> Result<Request, Failure> {
        Ok(match self {
            Self::Status => Request::Status,
            Self::FlowList(FlowList { sort, limit, .. }) => Request::Flows(Flows {
                sort: *sort,
                limit: *limit,
            }),
            Self::Refused => Request::Refused,
            Self::Policy(Policy::List) => Request::PolicyList,
            Self::Policy(Policy::Set(set)) => set.request()?,
            Self::Policy(Policy::Remove { name }) => {
                Request::PolicyRemove(PolicyRemove { name: name.clone() })
            }
            Self::Policy(Policy::Reload) => Request::PolicyReload,
            Self::Arrangement(Arrangement::List) => Request::ArrangementList,
            Self::Arrangement(Arrangement::Set(tables)) => {
                let toml = tables.toml()?;
                Request::ArrangementSet(ArrangementSet { toml })
            }
            Self::Arrangement(Arrangement::Remove { name }) => {
                Request::ArrangementRemove(ArrangementRemove { name: name.clone() })
            }
            Self::Flow(flow) => flow.request()?,
            Self::Drain => Request::Drain,
            Self::Stats { .. } => Request::Stats,
        })
    }

    /// How often it is asked again.
    const fn interval(&self) -> Option<Duration> {
        match self {
            Self::FlowList(FlowList {
                watch: Some(seconds),
                ..
            }) => Some(Duration::from_secs(*seconds)),
            _ => None,
        }
    }

    /// Whether counters of zero are shown.
    const fn shows_all(&self) -> bool {
        matches!(self, Self::Stats { all: true })
    }
}

impl Ctl {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let request = self.command.request()?;
        let mut client = self.client().map_err(Failure::runtime)?;
        loop {
            let answer = client.ask(request.clone()).map_err(Failure::runtime)?;
            let text = self.text(&answer)?;
            match print(&text, self.command.interval().is_some() && !self.json) {
                // Whoever has read enough closes the pipe.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                printed => printed.map_err(Failure::runtime)?,
            }
            match self.command.interval() {
                Some(interval) => thread::sleep(interval),
                None => return Ok(()),
            }
        }
    }

    fn client(&self) -> Result<Client, ClientError> {
        if self.kernel {
            Client::kernel(&self.device)
        } else {
            Client::connect(&self.socket)
        }
    }

    fn text(&self, answer: &Answer) -> Result<String, Failure> {
        if self.json {
            json(answer).map_err(Failure::runtime)
        } else {
            Ok(text::of(answer, self.command.shows_all()))
        }
    }
}

/// The answer without its name, on one line.
fn json(answer: &Answer) -> serde_json::Result<String> {
    let value = serde_json::to_value(answer)?;
    let inner = match value {
        serde_json::Value::Object(map) => map.into_iter().next().map(|(_, inner)| inner),
        other => Some(other),
    };
    Ok(serde_json::to_string(&inner.unwrap_or_default())? + "\n")
}

fn print(text: &str, is_watched: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if is_watched && out.is_terminal() {
        out.write_all(CLEAR.as_bytes())?;
    }
    out.write_all(text.as_bytes())?;
    if is_watched && !out.is_terminal() {
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        ctl: Ctl,
    }

    fn ctl(words: &str) -> Result<Ctl, clap::Error> {
        let line = Line::try_parse_from(["ctl"].into_iter().chain(words.split_whitespace()));
        line.map(|line| line.ctl)
    }

    fn request(words: &str) -> Request {
        let request = ctl(words).unwrap().command.request();
        request.unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    #[test]
    fn words_become_requests() {
        assert_eq!(request("status"), Request::Status);
        assert_eq!(request("policy list"), Request::PolicyList);
        assert_eq!(request("policy reload --json"), Request::PolicyReload);
        assert_eq!(request("drain"), Request::Drain);
        let flows = |sort, limit| Request::Flows(Flows { sort, limit });
        assert_eq!(request("flows"), flows(Sort::Custody, 20));
        assert_eq!(
            request("flows --sort saved --limit 3"),
            flows(Sort::Saved, 3)
        );
        let set = |flow, direction| {
            Request::Flow(SetService {
                flow,
                direction,
                service: Some(ServiceWord::Bypass),
                arrangement: None,
            })
        };
        let ends = [
            "10.0.0.1:5000".parse().unwrap(),
            "[2001:db8::1]:443".parse().unwrap(),
        ];
        assert_eq!(
            request("flow 10.0.0.1:5000 [2001:db8::1]:443 bypass"),
            set(FlowName::Ends(ends), None)
        );
        assert_eq!(
            request("flow 0:12.3 bypass --direction outer-to-inner"),
            set(
                FlowName::Id("0:12.3".into()),
                Some(DirectionChoice::OuterToInner)
            )
        );
    }

    #[test]
    fn a_flow_gets_a_service_an_arrangement_or_both() {
        let set = |flow, service, arrangement: &str| {
            Request::Flow(SetService {
                flow,
                direction: None,
                service,
                arrangement: Some(arrangement.to_owned()),
            })
        };
        let id = || FlowName::Id("0:12.3".into());
        let ends = ["10.0.0.1:5000", "192.0.2.7:443"].map(|end| end.parse().unwrap());
        let ends = || FlowName::Ends(ends);
        let snoop = Some(ServiceWord::Snoop);
        for (words, expected) in [
            ("flow 0:12.3 --arrangement thin", set(id(), None, "thin")),
            (
                "flow 0:12.3 snoop --arrangement thin",
                set(id(), snoop, "thin"),
            ),
            (
                "flow --arrangement none 10.0.0.1:5000 192.0.2.7:443",
                set(ends(), None, "none"),
            ),
            (
                "flow 10.0.0.1:5000 192.0.2.7:443 snoop --arrangement x",
                set(ends(), snoop, "x"),
            ),
        ] {
            assert_eq!(request(words), expected, "{words}");
        }
    }

    #[test]
    fn arrangements_are_listed_set_and_removed() {
        assert_eq!(request("arrangement list"), Request::ArrangementList);
        let name = "thin".to_owned();
        assert_eq!(
            request("arrangement remove thin"),
            Request::ArrangementRemove(ArrangementRemove { name })
        );
        let set = request("arrangement set --text [[arrangement]]");
        assert!(matches!(set, Request::ArrangementSet(set) if set.toml == "[[arrangement]]"));
    }

    #[test]
    fn mistakes_are_bad_usage() {
        for words in [
            "arrangement set",
            "arrangement remove",
            "flow a b bypass x",
            "status --kernel --socket a",
            "status --device a",
            "flows --sort size",
            "flows --watch 0",
            "policy set",
            "policy set a --text b",
            "policy",
            "",
        ] {
            assert!(ctl(words).is_err(), "{words}");
        }
        for words in [
            "flow 0:12.3",
            "flow 0:12.3 snop",
            "flow 10.0.0.1 192.0.2.1:80 bypass",
        ] {
            let failure = ctl(words).unwrap().command.request().unwrap_err();
            assert_eq!(failure.code, 2, "{words}");
        }
    }

    #[test]
    fn the_kernel_is_asked_by_its_device() {
        assert!(!ctl("status").unwrap().kernel);
        let ctl = ctl("policy list --kernel --device /dev/null/x").unwrap();
        let error = ctl.client().unwrap_err().to_string();
        assert!(
            error.starts_with("/dev/null/x: no kernel module answers"),
            "{error}"
        );
        assert!(error.ends_with("is localack.ko loaded?"), "{error}");
    }

    #[test]
    fn the_watch_has_its_interval() {
        assert_eq!(ctl("flows").unwrap().command.interval(), None);
        let watched = |words| ctl(words).unwrap().command.interval();
        assert_eq!(watched("flows --watch"), Some(Duration::from_secs(1)));
        assert_eq!(
            watched("flows --watch 5 --json"),
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn policies_come_from_files_and_from_the_command_line() {
        let path = std::env::temp_dir().join(format!("la-ctl-{}.toml", std::process::id()));
        fs::write(&path, "[[policy]]\n").unwrap();
        let words = format!("policy set {} --before x", path.display());
        let expected = Request::PolicySet(PolicySet {
            toml: "[[policy]]\n".into(),
            before: Some("x".into()),
        });
        assert_eq!(request(&words), expected);
        fs::remove_file(&path).unwrap();
        let failure = ctl(&words).unwrap().command.request().unwrap_err();
        assert_eq!(failure.code, 1, "it is gone");
        let text = request("policy set --text [default]");
        assert!(matches!(text, Request::PolicySet(set) if set.toml == "[default]"));
    }

    #[test]
    fn json_is_the_answer_without_its_name() {
        let answer = Answer::PolicyList(localack_tun::control::protocol::PolicyList {
            policies: Vec::new(),
        });
        assert_eq!(json(&answer).unwrap(), "{\"policies\":[]}\n");
        assert_eq!(json(&Answer::Drain).unwrap(), "\"drain\"\n");
    }
}
