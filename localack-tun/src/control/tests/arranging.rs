//! Arrangements over the socket: set, named by policies and for single flows, and taken away.

use core::time::Duration;

use localack_core::{Service, ShapingId};

use super::serving::Site;
use crate::control::protocol::{
    Answer, AppliedEntry, ArrangementRemove, ArrangementSet, DirectionChoice, ErrorCode, FlowName,
    PolicySet, Request, ServiceWord, SetService, Sort,
};
use crate::control::{Backend, ClientError};

const RADIO: &str = "[[arrangement]]\nname = \"radio\"\nservice = \"snoop\"\n";
const THIN: &str = "[[arrangement]]\nname = \"thin\"\nack_interval = \"20ms\"\n";

impl Site {
    fn arrange(&self, toml: &str) -> Result<AppliedEntry, ClientError> {
        let request = Request::ArrangementSet(ArrangementSet { toml: toml.into() });
        self.ask(request).map(|answer| match answer {
            Answer::ArrangementSet(applied) => applied,
            other => panic!("{other:?}"),
        })
    }

    fn remove(&self, name: &str) -> Result<AppliedEntry, ClientError> {
        let request = Request::ArrangementRemove(ArrangementRemove { name: name.into() });
        self.ask(request).map(|answer| match answer {
            Answer::ArrangementRemove(applied) => applied,
            other => panic!("{other:?}"),
        })
    }

    /// Asks for something of both directions of the connection from this port.
    fn give(
        &self,
        port: u16,
        service: Option<ServiceWord>,
        arrangement: Option<&str>,
    ) -> Result<Answer, ClientError> {
        self.ask(Request::Flow(SetService {
            flow: FlowName::Id(format!("0:{}", self.fake.flow(0, port).id)),
            direction: None,
            service,
            arrangement: arrangement.map(str::to_owned),
        }))
    }

    /// The service of data from the inner side, and the name of its arrangement.
    fn outward(&self, port: u16) -> (Service, Option<String>) {
        let info = self.fake.flow(0, port).inner_to_outer;
        let policies = self.fake.policies();
        let name = policies.arrangements().name(info.shaping);
        (info.service, name.map(str::to_owned))
    }
}

#[test]
fn what_an_arrangement_means_changes_for_all_that_have_it() {
    let site = Site::new(&format!(
        "{RADIO}{THIN}[default]\narrangement = \"radio\"\nreverse_arrangement = \"thin\"\n"
    ));
    site.fake.open(0, 5000);
    let radio = || (Service::Snoop, Some("radio".to_owned()));
    assert_eq!(site.outward(5000), radio());
    let flow = &site.flows(Sort::Custody, 1).flows[0];
    assert_eq!(flow.inner_to_outer.service, ServiceWord::Snoop);
    let [there, back] = flow.directions().map(|one| one.arrangement.as_deref());
    assert_eq!((there, back), (Some("radio"), Some("thin")));

    let id = site.fake.flow(0, 5000).outer_to_inner.shaping;
    assert_eq!(id, ShapingId::new(2).unwrap());
    let interval = || site.fake.shaping(0, id).ack_interval;
    assert_eq!(interval(), Duration::from_millis(20));
    site.arrange(&THIN.replace("20ms", "5ms")).unwrap();
    assert_eq!(interval(), Duration::from_millis(5));
    // The service follows, too.
    let applied = site.arrange(&RADIO.replace("snoop", "local-ack")).unwrap();
    assert_eq!(applied.flows_changed, 1);
    let changed = (Service::LocalAck, Some("radio".to_owned()));
    assert_eq!(site.outward(5000), changed);
}

#[test]
fn policies_name_what_was_set_while_the_gateway_runs() {
    let site = Site::new("");
    site.fake.open(0, 5000);
    let policy = "[[policy]]\nname = \"all\"\narrangement = \"radio\"\n";
    let set = || {
        site.ask(Request::PolicySet(PolicySet {
            toml: policy.to_owned(),
            before: None,
        }))
    };
    assert_eq!(set().unwrap_err().code(), Some(ErrorCode::BadPolicy));
    site.arrange(&[RADIO, THIN].concat()).unwrap();
    set().unwrap();
    assert_eq!(
        site.outward(5000),
        (Service::Snoop, Some("radio".to_owned()))
    );
    let Answer::ArrangementList(list) = site.ask(Request::ArrangementList).unwrap() else {
        panic!();
    };
    let listed: Vec<_> = list
        .arrangements
        .iter()
        .map(|one| (one.name.as_str(), one.policies.len(), one.directions))
        .collect();
    assert_eq!(listed, [("radio", 1, 1), ("thin", 0, 0)]);
    assert_eq!(
        list.arrangements[1].toml,
        "name = \"thin\"\nack_interval = \"20ms\"\n"
    );
    let Answer::Status(status) = site.ask(Request::Status).unwrap() else {
        panic!();
    };
    assert_eq!((status.policies, status.arrangements), (1, 2));

    let error = site.remove("radio").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Refused));
    assert_eq!(
        error.to_string(),
        "the arrangement \"radio\" is named by all: change or remove that first"
    );
    let error = site.remove("raido").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownArrangement));
}

#[test]
fn a_flow_is_given_an_arrangement_and_keeps_it_until_that_is_gone() {
    let site = Site::new(&[RADIO, THIN].concat());
    for port in [5000, 5001] {
        site.fake.open(0, port);
    }
    let outward = |service, name: Option<&str>| (service, name.map(str::to_owned));
    let Answer::Flow(set) = site.give(5000, None, Some("thin")).unwrap() else {
        panic!();
    };
    assert_eq!(
        (set.service, set.arrangement.as_deref()),
        (None, Some("thin"))
    );
    assert_eq!(
        site.outward(5000),
        outward(Service::LocalAck, Some("thin")),
        "the service stays"
    );
    assert_eq!(site.outward(5001), outward(Service::LocalAck, None));
    site.give(5000, Some(ServiceWord::Bypass), None).unwrap();
    assert_eq!(site.outward(5000), outward(Service::Bypass, Some("thin")));
    site.give(5000, Some(ServiceWord::Snoop), Some("none"))
        .unwrap();
    assert_eq!(site.outward(5000), outward(Service::Snoop, None));

    site.give(5000, None, Some("radio")).unwrap();
    site.give(5001, None, Some("thin")).unwrap();
    site.arrange(&RADIO.replace("snoop", "bypass")).unwrap();
    assert_eq!(site.outward(5000), outward(Service::Bypass, Some("radio")));
    // What is gone is as the policy says again; a new one is not taken for it.
    site.remove("radio").unwrap();
    site.arrange("[[arrangement]]\nname = \"other\"\nmss_clamp = 500\n")
        .unwrap();
    assert_eq!(site.outward(5000), outward(Service::LocalAck, None));
    assert_eq!(site.outward(5001), outward(Service::LocalAck, Some("thin")));
}

#[test]
fn one_direction_may_be_given_an_arrangement() {
    let site = Site::new(THIN);
    site.fake.open(0, 5000);
    site.ask(Request::Flow(SetService {
        flow: FlowName::Id(format!("0:{}", site.fake.flow(0, 5000).id)),
        direction: Some(DirectionChoice::OuterToInner),
        service: None,
        arrangement: Some("thin".to_owned()),
    }))
    .unwrap();
    let flow = &site.flows(Sort::Custody, 1).flows[0];
    let names = flow.directions().map(|one| one.arrangement.as_deref());
    assert_eq!(names, [None, Some("thin")]);
}

#[test]
fn what_is_contradictory_about_a_flow_is_refused() {
    let site = Site::new(RADIO);
    site.fake.open(0, 5000);
    let refused = |service, arrangement| {
        let error = site.give(5000, service, arrangement).unwrap_err();
        (error.code(), error.to_string())
    };
    let bad = Some(ErrorCode::BadRequest);
    assert_eq!(
        refused(None, None),
        (
            bad,
            "a flow needs a service, an arrangement, or both".to_owned()
        )
    );
    assert_eq!(
        refused(Some(ServiceWord::Bypass), Some("radio")),
        (
            bad,
            "the arrangement \"radio\" names a service, too: leave out the other one".to_owned()
        )
    );
    assert_eq!(
        refused(None, Some("raido")),
        (
            Some(ErrorCode::UnknownArrangement),
            "there is no arrangement called \"raido\"".to_owned()
        )
    );
    assert_eq!(site.outward(5000), (Service::LocalAck, None));
}
