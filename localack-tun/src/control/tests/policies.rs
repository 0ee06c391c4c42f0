//! Policies as text, and settings with them.

use crate::config::Settings;
use crate::control::policies::{Fragment, remove, remove_arrangement, set_arrangements, text};
use crate::control::protocol::ErrorCode;

const SETTINGS: &str = "
    [engine]
    flows = 100
    [[policy]]
    name = \"a\"
    inner_port = 1
    [[policy]]
    name = \"b\"
    controller = \"provisioned\"
    rate = \"5mbit\"
";

fn settings() -> Settings {
    Settings::parse(SETTINGS).unwrap()
}

fn names(settings: &Settings) -> Vec<&str> {
    settings
        .policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect()
}

#[test]
fn new_policies_find_their_place_and_known_ones_keep_it() {
    let text = "[[policy]]\nname = \"x\"\n[[policy]]\nname = \"a\"\ninner_port = 7\n[[policy]]\nname = \"y\"\n";
    let fragment = Fragment::parse(text, &[]).unwrap();
    let appended = fragment.apply(&settings(), None).unwrap();
    assert_eq!(names(&appended), ["a", "b", "x", "y"]);
    assert_eq!(appended.policies[0].matches.inner_port[0].to_string(), "7");
    assert_eq!(appended.engine, settings().engine, "nothing else changes");
    let inserted = fragment.apply(&settings(), Some("b")).unwrap();
    assert_eq!(names(&inserted), ["a", "x", "y", "b"]);
    let nowhere = fragment.apply(&settings(), Some("c")).unwrap_err();
    assert_eq!(nowhere.code, ErrorCode::UnknownPolicy);
}

#[test]
fn the_default_changes_only_if_it_is_there() {
    let only_policy = Fragment::parse("[[policy]]\nname = \"x\"\n", &[]).unwrap();
    let with_default = Fragment::parse("[default]\nservice = \"bypass\"\n", &[]).unwrap();
    let changed = with_default.apply(&settings(), None).unwrap();
    assert_ne!(changed.default, settings().default);
    assert_eq!(
        only_policy.apply(&changed, None).unwrap().default,
        changed.default
    );
}

#[test]
fn what_cannot_change_is_refused() {
    let message = |text: &str| {
        let error = Fragment::parse(text, &[]).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadPolicy);
        error.message
    };
    assert_eq!(
        message("[engine]\nflows = 7\n[[policy]]\nname = \"x\"\n"),
        "`engine`: only [[policy]] and [default] can be set while the gateway runs, and [[arrangement]] by `arrangement set`"
    );
    assert_eq!(
        message("# nothing\n"),
        "there is neither a table [[policy]] nor [default] in the text"
    );
    assert!(message("[[policy]]\n").contains("no `name`"));
}

#[test]
fn what_does_not_fit_the_rest_is_refused() {
    let text = "[[policy]]\nname = \"x\"\ncontroller = \"provisioned\"\nrate = \"7mbit\"\n";
    let error = Fragment::parse(text, &[])
        .unwrap()
        .apply(&settings(), None)
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::BadPolicy);
    assert_eq!(
        error.message,
        "share 0 is 5mbit in policy \"b\" and 7mbit in policy \"x\"; give one of them another share"
    );
}

#[test]
fn a_policy_is_removed_by_its_name() {
    assert_eq!(names(&remove(&settings(), "a").unwrap()), ["b"]);
    let error = remove(&settings(), "default").unwrap_err();
    assert_eq!(error.code, ErrorCode::UnknownPolicy);
}

const ARRANGED: &str = "
    [[arrangement]]
    name = \"radio\"
    service = \"snoop\"
    [[arrangement]]
    name = \"thin\"
    ack_interval = \"20ms\"
    [default]
    arrangement = \"radio\"
    [[policy]]
    name = \"a\"
    reverse_arrangement = \"radio\"
    [[policy]]
    name = \"b\"
    arrangement = \"none\"
";

fn arranged() -> Settings {
    Settings::parse(ARRANGED).unwrap()
}

fn arrangements(settings: &Settings) -> Vec<&str> {
    settings
        .arrangements
        .iter()
        .map(|one| one.name.as_str())
        .collect()
}

#[test]
fn new_arrangements_come_last_and_known_ones_keep_their_place() {
    let toml =
        "[[arrangement]]\nname = \"x\"\n[[arrangement]]\nname = \"radio\"\nmss_clamp = 1200\n";
    let settings = set_arrangements(&arranged(), toml).unwrap();
    assert_eq!(arrangements(&settings), ["radio", "thin", "x"]);
    assert_eq!(settings.arrangements[0].mss_clamp, Some(1200));
    assert_eq!(settings.arrangements[0].service, None, "it is another one");
    assert_eq!(settings.policies, arranged().policies);
    // Policies find what is there, and nothing else.
    let policy = |name: &str| format!("[[policy]]\nname = \"c\"\narrangement = \"{name}\"\n");
    let fragment = Fragment::parse(&policy("x"), &settings.arrangements).unwrap();
    assert_eq!(fragment.apply(&settings, None).unwrap().policies.len(), 3);
    let error = Fragment::parse(&policy("y"), &settings.arrangements).unwrap_err();
    assert_eq!(error.code, ErrorCode::BadPolicy);
}

#[test]
fn an_arrangement_that_does_not_fit_is_refused() {
    let message = |settings: &Settings, toml: &str| {
        let error = set_arrangements(settings, toml).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadPolicy);
        error.message
    };
    assert_eq!(
        message(&arranged(), "[default]\n"),
        "`default`: here are only tables [[arrangement]]; policies are set by `policy set`"
    );
    assert_eq!(
        message(&arranged(), "# nothing"),
        "there is no table [[arrangement]] in the text"
    );
    let many = |count: usize| -> String {
        (0..count)
            .map(|number| format!("[[arrangement]]\nname = \"a{number}\"\n"))
            .collect()
    };
    assert_eq!(
        message(&arranged(), &many(14)),
        "`arrangement`: there are 15 at most"
    );
    assert!(set_arrangements(&arranged(), &many(13)).is_ok());
    // A policy that has a service of its own.
    let served = ARRANGED.replace(
        "reverse_arrangement = \"radio\"",
        "service = \"bypass\"\narrangement = \"thin\"",
    );
    assert_eq!(
        message(
            &Settings::parse(&served).unwrap(),
            "[[arrangement]]\nname = \"thin\"\nservice = \"snoop\"\n"
        ),
        "`arrangement`: \"thin\" names a service, too: leave out `inner_to_outer`"
    );
}

#[test]
fn an_arrangement_goes_only_when_no_policy_names_it() {
    let settings = remove_arrangement(&arranged(), "thin").unwrap();
    assert_eq!(arrangements(&settings), ["radio"]);
    let error = remove_arrangement(&settings, "radio").unwrap_err();
    assert_eq!(error.code, ErrorCode::Refused);
    assert_eq!(
        error.message,
        "the arrangement \"radio\" is named by a, default: change or remove that first"
    );
    let error = remove_arrangement(&settings, "thin").unwrap_err();
    assert_eq!(error.code, ErrorCode::UnknownArrangement);
}

#[test]
fn a_policy_with_an_arrangement_is_shown_so_that_it_can_be_set_again() {
    let settings = arranged();
    let shown: Vec<_> = settings
        .policies()
        .map(|policy| format!("[[policy]]\n{}", text(&policy, &settings.arrangements)))
        .collect();
    assert!(
        shown[0].contains("arrangement = \"radio\"\n"),
        "{}",
        shown[0]
    );
    assert!(!shown[0].contains("_to_"), "{}", shown[0]);
    assert!(
        shown[1].contains("inner_to_outer = \"snoop\"\n"),
        "{}",
        shown[1]
    );
    let again = Fragment::parse(&shown.concat(), &settings.arrangements).unwrap();
    let again = again.apply(&settings, None).unwrap();
    let all = |settings: &Settings| settings.policies().collect::<Vec<_>>();
    assert_eq!(all(&again), all(&settings));
}

#[test]
fn a_policy_with_its_own_service_beside_the_default_arrangement_can_be_set_again() {
    let own = "[[policy]]\nname = \"c\"\nservice = \"bypass\"\n\
               [[policy]]\nname = \"d\"\nservice = \"snoop\"\n";
    let settings = Settings::parse(&format!("{ARRANGED}{own}")).unwrap();
    let all: Vec<_> = settings.policies().collect();
    let shown = all[2..]
        .iter()
        .map(|policy| format!("[[policy]]\n{}", text(policy, &settings.arrangements)))
        .collect::<String>();
    assert!(shown.contains("inner_to_outer = \"bypass\"\n"), "{shown}");
    let again = Fragment::parse(&shown, &settings.arrangements).unwrap();
    let again = again.apply(&settings, None).unwrap();
    assert_eq!(again.policies().collect::<Vec<_>>(), all);
}
