//! What the command line says, which wins.

use localack_core::{Custody, Port};

use super::actions::{ControllerChoice, Vouched};
use super::arrangement;
use super::quantity::Rate;
use super::words::{ControllerName, ServiceChoice};
use super::{Settings, ShareConflict, interface};

/// Choices of the command line, each `None` where it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Flags {
    /// The interface on the inner side.
    pub inner: Option<String>,
    /// The interface on the outer side.
    pub outer: Option<String>,
    /// The port on the inner side that is to be taken from its bridge.
    pub inner_port: Option<String>,
    /// The same on the outer side.
    pub outer_port: Option<String>,
    /// Whether this machine itself is the inner side, whatever the file says.
    pub host: bool,
    /// The service of data from the inner side, where no policy says otherwise.
    pub service: Option<ServiceChoice>,
    /// The arrangement of data from the inner side, where no policy says otherwise: one of the file's, or
    /// `none`.
    pub arrangement: Option<String>,
    /// Its controller, where no policy says otherwise.
    pub controller: Option<ControllerName>,
    /// The rate vouched for, for the controller `provisioned`.
    pub rate: Option<Rate>,
    /// When custody may begin, where no policy says otherwise.
    pub custody: Option<Custody>,
}

/// Why choices of the command line do not fit together, or the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlagError {
    /// A rate without the controller that needs it.
    #[error("--rate is for --controller provisioned")]
    Rate,
    /// That controller without a rate.
    #[error("--controller provisioned needs the rate that you vouch for, such as --rate 20mbit")]
    NoRate,
    /// The kernel would not take the name.
    #[error("--{side}: {error}")]
    Interface {
        /// `inner` or `outer`.
        side: &'static str,
        /// What is wrong with it.
        error: String,
    },
    /// Inner and outer are the same.
    #[error("the inner and the outer interface are the same: {0}")]
    SameInterface(String),
    /// A port and interfaces.
    #[error(
        "a port takes the place of the interfaces: either --inner-port or --outer-port, or --inner and \
         --outer"
    )]
    PortAndInterface,
    /// This machine and something else on the inner side.
    #[error(
        "this machine is the inner side: either --host, or --inner, --inner-port or --outer-port"
    )]
    HostAndOther,
    /// A port on either side.
    #[error("one port is taken from its bridge: either --inner-port or --outer-port")]
    TwoPorts,
    /// An arrangement that the file has not.
    #[error("--arrangement: {0}")]
    Arrangement(String),
    /// A service where the file has one under another name.
    #[error(
        "--service {service}: [default] has the arrangement {arrangement:?}, which names a service, too"
    )]
    Service {
        /// The service.
        service: ServiceChoice,
        /// The name of the arrangement.
        arrangement: String,
    },
    /// A policy vouches for another rate of the same share.
    #[error(transparent)]
    Share(#[from] ShareConflict),
}

impl Settings {
    /// Lets the command line have its way.
    ///
    /// # Errors
    /// [`FlagError`]; the settings are then as before.
    pub fn apply(&mut self, flags: &Flags) -> Result<(), FlagError> {
        let mut changed = self.clone();
        changed.apply_interfaces(flags)?;
        changed.apply_arrangement(flags)?;
        let arranged = changed.default.arrangement.as_deref();
        let arranged = arranged.and_then(|name| arrangement::find(&changed.arrangements, name));
        if let (Some(service), Some(arranged)) = (flags.service, arranged)
            && arranged.service.is_some()
        {
            let arrangement = arranged.name.clone();
            return Err(FlagError::Service {
                service,
                arrangement,
            });
        }
        let default = &mut changed.default;
        if let Some(service) = flags.service {
            default.inner_to_outer = Some(service);
            if service != ServiceChoice::Bypass {
                default.track = Some(true);
            }
        }
        if flags.custody.is_some() {
            default.custody = flags.custody;
        }
        let present = default.controller.unwrap_or(ControllerChoice::Bbr);
        default.controller = Some(controller(present, flags)?);
        changed.check_shares()?;
        *self = changed;
        Ok(())
    }

    /// The service that the arrangement names takes the place of the one in the file.
    fn apply_arrangement(&mut self, flags: &Flags) -> Result<(), FlagError> {
        let Some(name) = &flags.arrangement else {
            return Ok(());
        };
        let name = arrangement::known(name, &self.arrangements).map_err(FlagError::Arrangement)?;
        let found = arrangement::find(&self.arrangements, &name);
        if found.is_some_and(|one| one.service.is_some()) {
            self.default.inner_to_outer = None;
        }
        self.default.arrangement = Some(name);
        Ok(())
    }

    fn apply_interfaces(&mut self, flags: &Flags) -> Result<(), FlagError> {
        for (side, flag, place) in [
            ("inner", &flags.inner, &mut self.inner),
            ("outer", &flags.outer, &mut self.outer),
        ] {
            if let Some(name) = flag {
                let error = |error| FlagError::Interface { side, error };
                *place = Some(interface(name).map_err(error)?);
            }
        }
        let port = match (&flags.inner_port, &flags.outer_port) {
            (Some(_), Some(_)) => return Err(FlagError::TwoPorts),
            (Some(name), None) => Some((Port::Inner, "inner-port", name)),
            (None, Some(name)) => Some((Port::Outer, "outer-port", name)),
            (None, None) => None,
        };
        if let Some((at, side, name)) = port {
            let error = |error| FlagError::Interface { side, error };
            self.port = Some((at, interface(name).map_err(error)?));
        }
        if self.port.is_some() && (self.inner.is_some() || self.outer.is_some()) {
            return Err(FlagError::PortAndInterface);
        }
        self.host |= flags.host;
        if self.host && (self.inner.is_some() || self.port.is_some()) {
            return Err(FlagError::HostAndOther);
        }
        match (&self.inner, &self.outer) {
            (Some(inner), Some(outer)) if inner == outer => {
                Err(FlagError::SameInterface(inner.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// What becomes of the controller that is chosen so far.
fn controller(present: ControllerChoice, flags: &Flags) -> Result<ControllerChoice, FlagError> {
    let name = flags.controller.unwrap_or(present.name());
    if name != ControllerName::Provisioned && flags.rate.is_some() {
        return Err(FlagError::Rate);
    }
    Ok(match name {
        ControllerName::Reno => ControllerChoice::Reno,
        ControllerName::Cubic => ControllerChoice::Cubic,
        ControllerName::Bbr => ControllerChoice::Bbr,
        ControllerName::Provisioned => match (present, flags.rate) {
            (ControllerChoice::Provisioned(vouched), None) => {
                ControllerChoice::Provisioned(vouched)
            }
            (_, None) => return Err(FlagError::NoRate),
            (ControllerChoice::Provisioned(mut vouched), Some(rate)) => {
                vouched.rate = rate;
                // What is said of one connection cannot exceed what all have.
                vouched.floor = vouched.floor.map(|floor| floor.min(rate));
                ControllerChoice::Provisioned(vouched)
            }
            (_, Some(rate)) => ControllerChoice::Provisioned(Vouched::new(rate)),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(change: impl FnOnce(&mut Flags)) -> Flags {
        let mut flags = Flags::default();
        change(&mut flags);
        flags
    }

    fn settings(text: &str) -> Settings {
        Settings::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn without_flags_nothing_changes() {
        let mut settings = settings("[default]\ncontroller = \"reno\"");
        let before = settings.clone();
        assert_eq!(settings.apply(&Flags::default()), Ok(()));
        assert_eq!(settings, before);
    }

    #[test]
    fn the_command_line_wins() {
        let mut settings = settings(
            "[inner]\ninterface = \"a\"\n[outer]\ninterface = \"b\"\n\
             [default]\ncontroller = \"reno\"\ntrack = false\n",
        );
        let flags = flags(|flags| {
            flags.inner = Some("c".into());
            flags.service = Some(ServiceChoice::LocalAck);
            flags.controller = Some(ControllerName::Cubic);
            flags.custody = Some(Custody::AfterHandshake);
        });
        assert_eq!(settings.apply(&flags), Ok(()));
        assert_eq!(settings.inner.as_deref(), Some("c"));
        assert_eq!(settings.outer.as_deref(), Some("b"));
        let default = settings.default;
        assert_eq!(default.controller, Some(ControllerChoice::Cubic));
        assert_eq!(default.inner_to_outer, Some(ServiceChoice::LocalAck));
        assert_eq!(default.custody, Some(Custody::AfterHandshake));
        assert_eq!(default.track, Some(true), "what is served is tracked");
    }

    #[test]
    fn a_vouched_rate_and_its_controller_need_each_other() {
        let apply = |text: &str, flags: &Flags| {
            let mut settings = settings(text);
            settings.apply(flags).map(|()| settings.default.controller)
        };
        let rate: Rate = "10mbit".parse().unwrap();
        let only_rate = flags(|flags| flags.rate = Some(rate));
        let only_name = flags(|flags| flags.controller = Some(ControllerName::Provisioned));
        let both = flags(|flags| {
            flags.rate = Some(rate);
            flags.controller = Some(ControllerName::Provisioned);
        });
        let vouched = Some(ControllerChoice::Provisioned(Vouched::new(rate)));
        assert_eq!(apply("", &only_rate), Err(FlagError::Rate));
        assert_eq!(apply("", &only_name), Err(FlagError::NoRate));
        assert_eq!(apply("", &both), Ok(vouched));
        let file = "[default]\ncontroller = \"provisioned\"\nrate = \"5mbit\"\nshare = 3";
        let with_share = |rate| {
            let mut vouched = Vouched::new(rate);
            vouched.share = 3;
            Ok(Some(ControllerChoice::Provisioned(vouched)))
        };
        assert_eq!(apply(file, &only_rate), with_share(rate));
        assert_eq!(
            apply(file, &only_name),
            with_share("5mbit".parse().unwrap())
        );
    }

    #[test]
    fn a_service_is_named_in_one_place() {
        let apply = |arrangement: &str| {
            let mut settings = settings(&format!(
                "[[arrangement]]\nname = \"radio\"\n{arrangement}\n[default]\narrangement = \"radio\""
            ));
            let snoop = flags(|flags| flags.service = Some(ServiceChoice::Snoop));
            let applied = settings.apply(&snoop).map_err(|error| error.to_string());
            applied.map(|()| settings.last_policy().actions.inner_to_outer)
        };
        assert_eq!(
            apply("rate_limit = \"1mbit\""),
            Ok(Some(ServiceChoice::Snoop))
        );
        assert_eq!(
            apply("service = \"local-ack\""),
            Err(
                "--service snoop: [default] has the arrangement \"radio\", which names a service, too"
                    .to_owned()
            )
        );
    }

    #[test]
    fn an_arrangement_of_the_file_is_named() {
        const FILE: &str = "[[arrangement]]\nname = \"radio\"\nservice = \"snoop\"\n\
            [[arrangement]]\nname = \"slow\"\nrate_limit = \"1mbit\"\n";
        let apply = |default: &str, name: &str, service: Option<ServiceChoice>| {
            let mut settings = settings(&format!("{FILE}[default]\n{default}"));
            let flags = flags(|flags| {
                flags.arrangement = Some(name.to_owned());
                flags.service = service;
            });
            let applied = settings.apply(&flags).map_err(|error| error.to_string());
            let actions = settings.last_policy().actions;
            applied.map(|()| (actions.arrangement, actions.inner_to_outer))
        };
        let arranged = |name: &str, service| Ok((Some(name.to_owned()), Some(service)));
        let (snoop, bypass) = (ServiceChoice::Snoop, ServiceChoice::Bypass);
        assert_eq!(apply("", "radio", None), arranged("radio", snoop));
        let own = "service = \"bypass\"";
        assert_eq!(apply(own, "radio", None), arranged("radio", snoop));
        assert_eq!(apply(own, "slow", None), arranged("slow", bypass));
        assert_eq!(apply("", "slow", Some(snoop)), arranged("slow", snoop));
        let named = "arrangement = \"radio\"";
        assert_eq!(apply(named, "none", Some(bypass)), arranged("none", bypass));
        assert_eq!(
            apply("", "radio", Some(bypass)).unwrap_err(),
            "--service bypass: [default] has the arrangement \"radio\", which names a service, too"
        );
        let error = apply("", "radar", None).unwrap_err();
        assert!(error.starts_with("--arrangement: "), "{error}");
    }

    #[test]
    fn a_port_takes_the_place_of_interfaces() {
        let port = flags(|flags| flags.outer_port = Some("eth0".into()));
        let mut given = settings("[inner]\nport = \"vnet0\"");
        assert_eq!(given.apply(&port), Ok(()));
        assert_eq!(given.port, Some((Port::Outer, "eth0".to_owned())));
        let both = flags(|flags| {
            flags.inner_port = Some("vnet0".into());
            flags.outer_port = Some("eth0".into());
        });
        assert_eq!(settings("").apply(&both), Err(FlagError::TwoPorts));
        let mut given = settings("[inner]\ninterface = \"a\"");
        assert_eq!(given.apply(&port), Err(FlagError::PortAndInterface));
        let wrong = flags(|flags| flags.inner_port = Some("a/b".into()));
        assert_eq!(
            given.apply(&wrong).unwrap_err().to_string(),
            "--inner-port: \"a/b\" is not an interface: 1 to 15 characters, no '/', ':', '%' or space"
        );
    }

    #[test]
    fn this_machine_takes_the_place_of_the_inner_side() {
        let host = flags(|flags| flags.host = true);
        let outer = "[outer]\ninterface = \"b\"";
        for (text, expected) in [
            (outer.to_owned(), Ok(())),
            (format!("[inner]\nhost = true\n{outer}"), Ok(())),
            (format!("[inner]\nhost = false\n{outer}"), Ok(())),
            (
                format!("[inner]\ninterface = \"a\"\n{outer}"),
                Err(FlagError::HostAndOther),
            ),
            (
                "[outer]\nport = \"b\"".to_owned(),
                Err(FlagError::HostAndOther),
            ),
        ] {
            let mut given = settings(&text);
            let was = given.host;
            assert_eq!(given.apply(&host), expected, "{text}");
            assert_eq!(given.host, was || expected.is_ok());
        }
        let mut given = settings("[inner]\nhost = true");
        let inner = flags(|flags| flags.inner = Some("a".into()));
        assert_eq!(given.apply(&inner), Err(FlagError::HostAndOther));
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut settings = settings(
            "[inner]\ninterface = \"a\"\n[[policy]]\nname = \"x\"\ncontroller = \"provisioned\"\n\
             rate = \"5mbit\"",
        );
        let before = settings.clone();
        let mut refused = |change: fn(&mut Flags)| {
            let error = settings.apply(&flags(change)).unwrap_err().to_string();
            assert_eq!(settings, before);
            error
        };
        assert_eq!(
            refused(|flags| flags.outer = Some("a".into())),
            "the inner and the outer interface are the same: a"
        );
        assert_eq!(
            refused(|flags| flags.outer = Some("a/b".into())),
            "--outer: \"a/b\" is not an interface: 1 to 15 characters, no '/', ':', '%' or space"
        );
        assert_eq!(
            refused(|flags| {
                flags.controller = Some(ControllerName::Provisioned);
                flags.rate = "10mbit".parse().ok();
            }),
            "share 0 is 5mbit in policy \"x\" and 10mbit in policy \"default\"; give one of them \
             another share"
        );
    }
}
